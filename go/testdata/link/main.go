// A program that says how it found the library.
package main

import (
	"fmt"

	trunkline "trunkline.dev/go"
)

func main() {
	fmt.Println(trunkline.LinkInfo, trunkline.Version())
}
