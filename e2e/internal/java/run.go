package java

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// logging sends a program's log to its standard output.
const logging = `<Configuration status="WARN">
  <Appenders>
    <Console name="out" target="SYSTEM_OUT"><PatternLayout pattern="[%d] %p %m (%c)%n"/></Console>
  </Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
`

// Program is a directory of jars, and one for the configuration of what is run
// from them. Heap is the most memory that its objects may take, in Java's words, such
// as 384m.
type Program struct{ Jars, Dir, Heap string }

// Configure writes the properties to a file of the directory, and beside it the
// configuration of the log, and returns the path of the first.
func (p Program) Configure(file string, properties map[string]string) (string, error) {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&text, "%s=%s\n", key, properties[key])
	}
	if err := os.WriteFile(p.logging(), []byte(logging), 0o600); err != nil {
		return "", err
	}
	path := filepath.Join(p.Dir, file)
	return path, os.WriteFile(path, []byte(text.String()), 0o600)
}

func (p Program) logging() string { return filepath.Join(p.Dir, "log4j2.xml") }

// Args returns the arguments for java that run a class quickly, with little memory,
// and with its log on the standard output.
func (p Program) Args(class string, args ...string) []string {
	return append([]string{
		"-Xms128m", "-Xmx" + p.Heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Dlog4j2.configurationFile=" + p.logging(),
		"-cp", filepath.Join(p.Jars, "*"), class,
	}, args...)
}
