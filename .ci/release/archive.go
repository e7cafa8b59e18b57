package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
)

// file is one of an archive.
type file struct {
	name    string
	path    string // where it is; or
	content []byte
	program bool
}

func (f file) read() ([]byte, error) {
	if f.path == "" {
		return f.content, nil
	}
	return os.ReadFile(f.path)
}

func (f file) mode() int64 {
	if f.program {
		return 0o755
	}
	return 0o644
}

// archive packs the files into a folder of the archive's name: as zip for Windows,
// as tar.gz elsewhere. Owners, times and order are fixed.
func (r *release) archive(t target, base string, files []file) (err error) {
	name := base + ".tar.gz"
	pack := r.tarball
	if t.os == "windows" {
		name, pack = base+".zip", r.zipped
	}
	out, err := os.Create(filepath.Join(r.out, name))
	if err != nil {
		return err
	}
	defer func() {
		if failed := out.Close(); err == nil {
			err = failed
		}
	}()
	return pack(out, base, files)
}

func (r *release) tarball(out io.Writer, base string, files []file) error {
	compressed, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(compressed)
	for _, f := range files {
		data, err := f.read()
		if err != nil {
			return err
		}
		err = w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: base + "/" + f.name, Size: int64(len(data)), Mode: f.mode(), ModTime: r.time, Format: tar.FormatPAX,
		})
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return compressed.Close()
}

func (r *release) zipped(out io.Writer, base string, files []file) error {
	w := zip.NewWriter(out)
	for _, f := range files {
		data, err := f.read()
		if err != nil {
			return err
		}
		header := &zip.FileHeader{Name: base + "/" + f.name, Method: zip.Deflate, Modified: r.time}
		header.SetMode(os.FileMode(f.mode()))
		part, err := w.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := part.Write(data); err != nil {
			return err
		}
	}
	return w.Close()
}
