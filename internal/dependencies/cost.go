package main

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// runs is how often the program is started to see what its initialisers cost;
// the median counts.
const runs = 25

// cost is what a module adds to the program.
type cost struct {
	micros float64 // of each start, in its packages' initialisers
	bytes  int     // that they allocate
	size   uint64  // of code and data, bytes
}

// printCost measures the program, built for this machine, which has to run
// Linux.
func printCost(out io.Writer) (err error) {
	modules, err := linked("linux")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cost-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program := filepath.Join(dir, "program")
	build := exec.Command("go", "build", "-trimpath", "-o", program, command)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, said)
	}
	packages := map[string]*cost{}
	if err := sizes(program, packages); err != nil {
		return err
	}
	if err := starts(program, packages); err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "start\tallocated\tsize\t  module")
	for _, m := range modules {
		var sum cost
		for _, name := range m.packages {
			if c := packages[name]; c != nil {
				sum.micros += c.micros
				sum.bytes += c.bytes
				sum.size += c.size
			}
		}
		_, _ = fmt.Fprintf(table, "%.0f µs\t%.1f KB\t%d KB\t  %s\n", sum.micros, float64(sum.bytes)/1000, sum.size/1000, m.path)
	}
	return table.Flush()
}

// sizes adds the sizes of what the program's symbols name.
func sizes(program string, packages map[string]*cost) error {
	file, err := elf.Open(program)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	symbols, err := file.Symbols()
	if err != nil {
		return err
	}
	for _, symbol := range symbols {
		// What is in the file: neither what is zero at the start, nor marks.
		if int(symbol.Section) >= len(file.Sections) || file.Sections[symbol.Section].Type != elf.SHT_PROGBITS {
			continue
		}
		name := packageOf(symbol.Name)
		if packages[name] == nil {
			packages[name] = new(cost)
		}
		packages[name].size += symbol.Size
	}
	return nil
}

// symbolPrefix is what the linker puts before the package of what it made itself.
var symbolPrefix = regexp.MustCompile(`^(type:\.(eq|hash)\.|type:\*?|go:itab\.\*?|go:struct \{ |go:)`)

// packageOf is the package that a symbol belongs to: what stands before the first
// dot after the last slash. Dots of the path's last part are written as %2e.
func packageOf(symbol string) string {
	symbol = symbolPrefix.ReplaceAllString(symbol, "")
	if end := strings.IndexAny(symbol, "([{, "); end >= 0 {
		symbol = symbol[:end]
	}
	slash := strings.LastIndexByte(symbol, '/')
	dot := strings.IndexByte(symbol[slash+1:], '.')
	if dot < 0 {
		return ""
	}
	return strings.ReplaceAll(symbol[:slash+1+dot], "%2e", ".")
}

// initialised is a line of GODEBUG=inittrace=1.
var initialised = regexp.MustCompile(`(?m)^init (\S+) @\S+ ms, (\S+) ms clock, (\d+) bytes, \d+ allocs$`)

// starts adds what the packages' initialisers cost.
func starts(program string, packages map[string]*cost) error {
	times := map[string][]float64{}
	for range runs {
		start := exec.Command(program, "capability")
		start.Env = []string{"GODEBUG=inittrace=1"}
		var said strings.Builder
		start.Stderr = &said
		if err := start.Run(); err != nil {
			return fmt.Errorf("%w: %s", err, said.String())
		}
		for _, line := range initialised.FindAllStringSubmatch(said.String(), -1) {
			millis, err := strconv.ParseFloat(line[2], 64)
			if err != nil {
				return err
			}
			times[line[1]] = append(times[line[1]], millis*1000)
			if packages[line[1]] == nil {
				packages[line[1]] = new(cost)
			}
			if packages[line[1]].bytes, err = strconv.Atoi(line[3]); err != nil {
				return err
			}
		}
	}
	for name, measured := range times {
		slices.Sort(measured)
		packages[name].micros = measured[len(measured)/2]
	}
	return nil
}
