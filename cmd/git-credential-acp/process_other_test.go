//go:build !linux

package main

// spy has nothing to look at here.
func spy() {}
