package trunkline

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestWithoutCgoTheBuildSaysWhatIsMissing(t *testing.T) {
	build := exec.Command("go", "build", ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := build.CombinedOutput()
	if err == nil {
		t.Fatal("it builds")
	}
	if !strings.Contains(string(output), "build with CGO_ENABLED=1 and a C compiler") {
		t.Errorf("got %s", output)
	}
	if n := strings.Count(strings.TrimSpace(string(output)), "\n"); n > 1 {
		t.Errorf("more than the one sentence: %s", output)
	}
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
