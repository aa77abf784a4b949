package main

import (
	"context"
	"fmt"
	"log"

	trunkline "trunkline.dev/go"
)

func main() {
	ctx := context.Background()
	listener, err := trunkline.ListenAddr(ctx, "tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	near, err := trunkline.Dial(ctx, "tcp", listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer near.Close()
	far, _ := listener.Accept()
	defer far.Close()

	fmt.Fprint(near, "hello from Go") // a net.Conn like any other
	buf := make([]byte, 64)
	n, _ := far.Read(buf)
	fmt.Println(string(buf[:n]))
}
