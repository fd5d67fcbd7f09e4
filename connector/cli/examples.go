package cli

import (
	"strings"

	"github.com/alecthomas/kong"
)

// examples of each command, as --help shows them, by the command's name. Those of commands that have a Help of their own are there.
var examples = map[string]string{
	"run": `waltap run -f pipeline.yaml`,
	"worker": `waltap worker -f worker.yaml
WALTAP_URL=http://worker1:8083 waltap connectors create orders.yaml`,
	"connectors create": `waltap connectors create orders.yaml --url http://worker1:8083
waltap connectors create orders.json --name orders-source --stopped
waltap connectors create orders.yaml --replace`,
	"connectors get":      `waltap connectors get orders-source > orders.json`,
	"connectors list":     `waltap connectors list --url http://worker1:8083`,
	"connectors validate": `waltap connectors validate orders.yaml`,
	"connectors status": `waltap connectors status orders-source
waltap connectors status orders-source --json`,
	"connectors pause":  `waltap connectors pause orders-source`,
	"connectors resume": `waltap connectors resume orders-source`,
	"connectors stop":   `waltap connectors stop orders-copy`,
	"connectors restart": `waltap connectors restart orders-source --include-tasks --only-failed
waltap connectors restart orders-source --task 0`,
	"connectors delete":       `waltap connectors delete orders-source`,
	"signal execute-snapshot": `waltap signal execute-snapshot orders-source --table default:orders --table 'shop:.*'`,
	"signal stop-snapshot":    `waltap signal stop-snapshot orders-source`,
	"signal pause-snapshot":   `waltap signal pause-snapshot orders-source`,
	"signal resume-snapshot":  `waltap signal resume-snapshot orders-source`,
	"signal set-rate":         `waltap signal set-rate orders-source --rows-per-second 20000`,
	"peer list":               `waltap peer --quorum zk1:2181,zk2:2181 list`,
	"peer disable":            `waltap peer --quorum zk1:2181 disable waltap_orders`,
	"peer enable":             `waltap peer --quorum zk1:2181 enable waltap_orders`,
	"peer remove":             `waltap peer --quorum zk1:2181 remove waltap_orders`,
	"offsets get": `waltap offsets get -f pipeline.yaml
waltap offsets get --bootstrap-server kafka1:9092 --group connect-orders-copy`,
	"offsets set": `waltap offsets set -f pipeline.yaml orders.default.orders/0=1700 orders.default.orders/1=1650`,
	"offsets reset": `waltap offsets reset -f pipeline.yaml --to-earliest --dry-run
waltap offsets reset -f pipeline.yaml --to-timestamp 2026-11-20T10:00:00Z`,
	"offsets forget": `waltap offsets forget -f pipeline.yaml --topic orders.shop.old`,
	"dlq list": `waltap dlq list -f pipeline.yaml
waltap dlq list --bootstrap-server kafka1:9092 --topic orders-dead --full`,
	"dlq replay": `waltap dlq replay -f pipeline.yaml --dry-run
waltap dlq replay -f pipeline.yaml 0/17 0/18`,
	"verify": `waltap verify -f pipeline.yaml
waltap verify -f pipeline.yaml --table shop:orders -o differences.jsonl
waltap verify -f pipeline.yaml --report pass1.json
waltap verify -f pipeline.yaml --changed-since pass1.json
waltap verify -f pipeline.yaml --state verify.state --resume --max-rows-per-second 50000
waltap verify --source-quorum zk1:2181 --target-quorum otherzk1:2181 --table shop:orders=store:orders --sample 0.05`,
	"repair": `waltap repair -f pipeline.yaml --from differences.jsonl
waltap repair -f pipeline.yaml --from differences.jsonl --execute
waltap repair --source-quorum zk1:2181 --target-quorum otherzk1:2181 --table shop:orders --delete-extra`,
	"migrate plan": `waltap migrate plan -f migration.yaml
waltap migrate plan -f migration.yaml --wave small --json`,
	"migrate start": `waltap migrate start -f migration.yaml
waltap migrate start -f migration.yaml --wave small --wave large`,
	"migrate status": `waltap migrate status -f migration.yaml
waltap migrate status -f migration.yaml --once
waltap migrate status -f migration.yaml --json`,
	"migrate pause":  `waltap migrate pause -f migration.yaml --wave small`,
	"migrate resume": `waltap migrate resume -f migration.yaml --wave small`,
	"migrate verify": `waltap migrate verify -f migration.yaml -o differences.jsonl
waltap migrate verify -f migration.yaml --wave small --full --max-mb-per-second 100
waltap migrate verify -f migration.yaml --state verify.state --resume`,
	"migrate repair": `waltap migrate repair -f migration.yaml
waltap migrate repair -f migration.yaml --execute --delete-extra`,
	"migrate cutover": `waltap migrate cutover -f migration.yaml --rehearse
waltap migrate cutover -f migration.yaml --reverse
waltap migrate cutover -f migration.yaml --undo`,
	"migrate cleanup": `waltap migrate cleanup -f migration.yaml --topics
waltap migrate cleanup -f migration.yaml --abandon --unfence`,
	"doctor": `waltap doctor -f pipeline.yaml
waltap doctor -f pipeline.yaml -q --expect 72h --namenode http://namenode:9870`,
	"tail": `waltap tail -f pipeline.yaml orders.default.orders
waltap tail --bootstrap-server kafka1:9092 orders.shop.items --since 2026-11-20T10:00:00Z --op delete --json --until-end`,
	"decode": `waltap decode value.bin
waltap decode --json - < value.bin`,
	"hfile": `waltap hfile 764d1c9c3122d5ff6d17e4c0565a53e4
waltap hfile 764d1c9c3122d5ff6d17e4c0565a53e4 --cells --row-start user1 --limit 20`,
	"hbase-snapshot": `waltap hbase-snapshot hdfs://namenode:8020/hbase
waltap hbase-snapshot hdfs://namenode:8020/hbase/.hbase-snapshot/orders_snap --files`,
	"acls": `waltap acls -f pipeline.yaml
waltap acls -f migration.yaml --for migrate --principal User:mover`,
	"version": `waltap version`,
}

// showExamples adds to each command's help its examples.
func showExamples(app *kong.Application) {
	for _, leaf := range app.Leaves(false) {
		if text, ok := examples[strings.TrimSpace(leaf.Path())]; ok {
			leaf.Detail = strings.TrimLeft(leaf.Detail+"\n\nExamples:\n  "+strings.ReplaceAll(text, "\n", "\n  "), "\n")
		}
	}
}
