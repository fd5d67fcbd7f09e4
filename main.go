// Command waltap streams Apache HBase into Kafka and from Kafka into HBase.
package main

import (
	"os"

	"github.com/waltap/waltap/connector/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) }
