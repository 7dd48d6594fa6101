package cli

import "syscall"

// ready reports whether a read would return at once: there is input, or its end.
func ready(fd uintptr) bool {
	var set syscall.FdSet
	word := int(fd) / 64
	if word >= len(set.Bits) {
		return false
	}
	set.Bits[word] |= 1 << (fd % 64)
	n, err := syscall.Select(int(fd)+1, &set, nil, nil, &syscall.Timeval{})
	return err == nil && n == 1
}
