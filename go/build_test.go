package trunkline

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestWithoutCgoTheBuildSaysWhatIsMissing(t *testing.T) {
	output, err := goTool([]string{"CGO_ENABLED=0"}, "build", ".")
	if err == nil {
		t.Fatal("it builds")
	}
	if !strings.Contains(output, "build with CGO_ENABLED=1 and a C compiler") {
		t.Errorf("got %s", output)
	}
	if n := strings.Count(strings.TrimSpace(output), "\n"); n > 1 {
		t.Errorf("more than the one sentence: %s", output)
	}
}

func TestAnInstalledLibraryIsFoundThroughPkgConfig(t *testing.T) {
	if _, err := exec.LookPath("pkg-config"); err != nil {
		t.Skip("there is no pkg-config")
	}
	library := libraryFolder(t)
	include, err := filepath.Abs("../include")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	described := fmt.Sprintf("Name: trunkline\nDescription: test\nVersion: 0\nCflags: -I%s\nLibs: -L%s -Wl,-rpath,%s -ltrunkline\n",
		include, library, library)
	if err := os.WriteFile(filepath.Join(folder, "trunkline.pc"), []byte(described), 0o644); err != nil {
		t.Fatal(err)
	}
	// Go's build cache does not see what pkg-config said. The flag, which changes nothing, keeps what is built here
	// apart from what others build with the same tag.
	output, err := goTool([]string{"CGO_LDFLAGS=", "CGO_CFLAGS=-I" + library, "PKG_CONFIG_PATH=" + folder},
		"run", "-tags", "trunkline_system", "./testdata/link")
	if want := "pkg-config " + Version() + "\n"; output != want || err != nil {
		t.Errorf("got %q, %v; want %q", output, err, want)
	}
	if LinkInfo != "checkout" {
		t.Errorf("the test itself is linked through %s", LinkInfo)
	}
}

// libraryFolder is where the library of this test is.
func libraryFolder(t *testing.T) string {
	t.Helper()
	for _, flag := range strings.Fields(os.Getenv("CGO_LDFLAGS")) {
		if folder, ok := strings.CutPrefix(flag, "-L"); ok {
			return folder
		}
	}
	folder, err := filepath.Abs("../target/release")
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// goTool runs the go command with an environment of its own.
func goTool(environment []string, arguments ...string) (string, error) {
	tool := exec.Command("go", arguments...)
	tool.Env = append(os.Environ(), environment...)
	output, err := tool.CombinedOutput()
	return string(output), err
}

func TestTheModuleNeedsNothingButTheStandardLibrary(t *testing.T) {
	file, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(file), "require") {
		t.Errorf("go.mod requires something:\n%s", file)
	}
}
