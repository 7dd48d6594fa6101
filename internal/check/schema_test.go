package check

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// data is what each step's data is, nil for none.
var data = map[string]any{
	stepSource: SourceData{}, stepSettings: SettingsData{}, stepInstance: InstanceData{}, stepProxy: ProxyData{},
	stepDNS: DNSData{}, stepTCP: TCPData{}, stepTLS: TLSData{}, stepAPI: APIData{}, stepClock: ClockData{},
	stepToken: TokenData{}, stepExpiry: ExpiryData{}, stepScopes: ScopesData{}, stepProject: ProjectData{},
	stepAccess: AccessData{}, stepBranch: BranchData{}, stepRateLimit: RateData{}, stepFetch: RefsData{}, stepPush: RefsData{},
	stepHelpers: HelpersData{}, stepVerify: nil, stepRun: nil, stepConfig: ConfigData{}, stepStored: StoredData{},
	stepGit: VersionData{}, stepLFS: VersionData{}, stepCache: nil,
}

// node is a part of a JSON schema.
type node struct {
	Const      any
	Enum       []any
	Type       string
	Items      *node
	Properties map[string]json.RawMessage
	Required   []string
	Ref        string `json:"$ref"`
	Defs       map[string]json.RawMessage
	OneOf      []node

	AdditionalProperties *bool
}

func parse(t *testing.T, raw json.RawMessage) node {
	t.Helper()
	var n node
	if err := json.Unmarshal(raw, &n); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return n
}

// The schema describes every step and every field of its data, and nothing else.
func TestSchemaDescribesAll(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "check.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var defs struct {
		Defs map[string]json.RawMessage `json:"$defs"`
	}
	if err := json.Unmarshal(text, &defs); err != nil {
		t.Fatal(err)
	}
	var described []string
	for _, step := range parse(t, defs.Defs["step"]).OneOf {
		described = append(described, strings.TrimPrefix(step.Ref, "#/$defs/"))
	}
	if !slices.Equal(described, Steps()) {
		t.Errorf("described: %v\nmade:      %v", described, Steps())
	}
	if len(data) != len(Steps()) {
		t.Errorf("%d steps with data or none, of %d", len(data), len(Steps()))
	}
	seen := map[string]bool{}
	for _, name := range Steps() {
		if defs.Defs[name] == nil {
			t.Errorf("docs/check.schema.json has no definition of %s", name)
			continue
		}
		step := parse(t, defs.Defs[name])
		if parse(t, step.Properties["name"]).Const != name || len(parse(t, step.Properties["status"]).Enum) == 0 {
			t.Errorf("the description of %s has no name or status", name)
		}
		switch raw, made := step.Properties["data"], data[name]; {
		case made == nil && string(raw) != "false":
			t.Errorf("%s has no data, and a description of it", name)
		case made != nil:
			compare(t, name, parse(t, raw), reflect.TypeOf(made), seen)
		}
	}
	for _, name := range dataTypes(t) {
		if !seen[name] {
			t.Errorf("%s is the data of no step", name)
		}
	}
	// Common fields of the steps are described once.
	fields := slices.Sorted(func(yield func(string) bool) {
		for name := range parse(t, defs.Defs["step"]).Properties {
			if !yield(name) {
				return
			}
		}
	})
	if !slices.Equal(fields, []string{"code", "hint", "instance", "text"}) {
		t.Errorf("all steps have %v", fields)
	}
}

// compare holds the description of an object to the type that is encoded.
func compare(t *testing.T, where string, described node, made reflect.Type, seen map[string]bool) {
	seen[made.Name()] = true
	if described.Type != "object" || described.AdditionalProperties == nil || *described.AdditionalProperties {
		t.Errorf("%s is described as %q, perhaps with more properties", where, described.Type)
	}
	for n := range made.NumField() {
		field := made.Field(n)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		raw, found := described.Properties[name]
		delete(described.Properties, name)
		if !found {
			t.Errorf("%s.%s is not described", where, name)
			continue
		}
		if required := slices.Contains(described.Required, name); required == (options == "omitempty") {
			t.Errorf("%s.%s is required: %v, with the tag %s", where, name, required, field.Tag)
		}
		inner := parse(t, raw)
		kind := field.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		want := map[reflect.Kind]string{reflect.String: "string", reflect.Int: "integer", reflect.Int64: "integer",
			reflect.Bool: "boolean", reflect.Slice: "array", reflect.Struct: "object"}[kind.Kind()]
		got := inner.Type
		switch {
		case inner.Ref == "#/$defs/time" || len(inner.Enum) > 0:
			got = "string"
		case inner.Const == true:
			got = "boolean"
		}
		if got != want {
			t.Errorf("%s.%s is %s, and described as %q", where, name, kind, got)
		}
		if kind.Kind() == reflect.Slice && inner.Items != nil {
			inner, kind = *inner.Items, kind.Elem()
		}
		if kind.Kind() == reflect.Struct {
			compare(t, where+"."+name, inner, kind, seen)
		}
	}
	for name := range described.Properties {
		t.Errorf("%s.%s is described, and is not there", where, name)
	}
}

// dataTypes are the types whose names say that they are data of steps.
func dataTypes(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && strings.HasSuffix(spec.Name.Name, "Data") {
				names = append(names, spec.Name.Name)
			}
			return true
		})
	}
	if len(names) == 0 {
		t.Fatal("no types of data were found")
	}
	return names
}
