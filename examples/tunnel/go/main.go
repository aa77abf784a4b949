// The hub in Go: an http.Client that reaches a service behind the tunnel, and a forward for everybody else.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	trunkline "trunkline.dev/go"
)

const token = "a token that both sides know"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	hub, err := trunkline.NewHub(trunkline.HubConfig{
		Agents:    map[string][]trunkline.Secret{"office": {trunkline.NewSecret(token)}},
		HTTP:      trunkline.HttpConfig{Routes: []trunkline.HttpRoute{{Path: "/office", Cluster: "office", StripPath: true}}},
		Anonymous: []string{"office"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	at, err := hub.Listen(ctx, "tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	// The agent is another program in another language; it dials out and is never dialled.
	agent := exec.CommandContext(ctx, os.Args[1], append(os.Args[2:], "tcp://"+at.String(), token)...)
	agent.Stderr = os.Stderr
	input, _ := agent.StdinPipe()
	output, _ := agent.StdoutPipe()
	if err := agent.Start(); err != nil {
		log.Fatal(err)
	}
	if line, err := bufio.NewReader(output).ReadString('\n'); err != nil {
		log.Fatalf("the agent said %q: %v", line, err)
	}

	dialled := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return hub.DialContext(ctx, "office")
		},
	}}
	get(dialled, "http://office/dialled")

	front, err := hub.Forward(ctx, "tcp://127.0.0.1:0", "office", "")
	if err != nil {
		log.Fatal(err)
	}
	get(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+front.String()+"/forwarded")

	users, err := hub.ListenHTTP(ctx, "tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	url := "http://" + users.String()
	curl, err := exec.CommandContext(ctx, "curl", "--silent", "--show-error", url+"/office/curled", url+"/elsewhere").Output()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", curl)

	input.Close()
	if err := agent.Wait(); err != nil {
		log.Fatal(err)
	}
	stats := hub.Stats()
	fmt.Printf("%d connections, %d of them open, %d agents left\n", stats.Opened, stats.Active, stats.Links)
}

func get(client *http.Client, url string) {
	response, err := client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	fmt.Printf("%s", body)
}
