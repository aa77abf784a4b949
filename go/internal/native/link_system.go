//go:build trunkline_system

package native

// #cgo pkg-config: trunkline
import "C"

// LinkInfo says how the library was found when the program was linked.
const LinkInfo = "pkg-config"
