//go:build !unix

package testserver

import "os/exec"

func chown(string) error { return nil }

func asOther(*exec.Cmd) {}

func kill(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
