//go:build !linux

package main

// spy is only for Linux.
func spy() {}
