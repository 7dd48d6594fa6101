package process

import "syscall"

// untraceable keeps other processes, except the superuser's, from attaching to this one and
// from reading its memory or environment in /proc, and the kernel from dumping it (prctl(2),
// PR_SET_DUMPABLE).
func untraceable() {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0)
}

// replace duplicates from to to. Some Linux architectures have no dup2.
func replace(from, to int) error { return syscall.Dup3(from, to, 0) }
