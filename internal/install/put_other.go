//go:build !linux

package install

func put(path string, c content) error { return putNamed(path, c) }
