package process

import "syscall"

// untraceable does nothing on this system, which lets only the same user trace a process.
func untraceable() {}

func replace(from, to int) error { return syscall.Dup2(from, to) }
