//go:build !trunkline_system

package native

// A checkout links against what `make release` made in it; CGO_LDFLAGS=-L… comes first and chooses another.

// #cgo CFLAGS: -I${SRCDIR}/../../../include
// #cgo LDFLAGS: -L${SRCDIR}/../../../target/release -Wl,-rpath,${SRCDIR}/../../../target/release -ltrunkline
import "C"

// LinkInfo says how the library was found when the program was linked.
const LinkInfo = "checkout"
