#!/bin/sh
# Before the package is removed; not before an upgrade: dpkg says "remove", rpm 0.
set -e
case "${1:-}" in
remove | purge | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now zhongkong.service
	fi
	;;
esac
