package trunkline

import "trunkline.dev/go/internal/native"

// LinkInfo says how the native library was found when the program was linked: "checkout" or "pkg-config".
const LinkInfo = native.LinkInfo

// Version is the version of the native library that is loaded, such as "0.1.0".
func Version() string { return native.Version() }
