#!/bin/bash
# All end-to-end tests, in four parts side by side, each with servers of its own, as most of the tests mostly wait: those that stop
# servers, one after the other; those of gaps, of migrations, of workers and of HBase 1.x; those of other packages, as of the harness;
# and all others. A test that is in no list runs with the others, which is as right:
# those that do not call t.Parallel run first there. Beside them, in what time they leave idle, what looks at deploy/ by its tools.
# Arguments are flags of go test, and go to each part.
set -u
cd "$(dirname "$0")/.."

stopping='TestDoctorNamesAPeerWithoutATableList|TestJoiningTableThatAnotherPeerWouldShip|TestTableWithoutReplicationScope'
stopping+='|TestKilledInTheMiddleOfTheStream|TestKilledInTheStreamLosesChangesWhenAnsweredEarly|TestKafkaIsAwayWhileTheSourceIsWrittenTo'
stopping+='|TestDestinationIsAwayWhileTheSourceIsWrittenTo|TestSourceIsRestarted|TestRegionServersJoinStopAndDie'
stopping+='|TestSinkHBaseIsAcceptable|TestSinkHBaseByMutationIsAcceptable'
changing='TestPeerOfTheOperator|TestTableIs.*|TestDroppedTableIsThereAgain|TestReplicationScopeIsSwitchedOff|TestPeerIsCreatedAgain'
changing+='|TestGapIsAccepted|TestNoGap|TestConnectorsThatStartAtOnceDoNotEndARegionServer'
changing+='|TestMigration.*|TestCommandsOfThePagesForEachOrigin|TestOldHBase.*|TestCopyToOldHBase|TestDoctorOfAnOldSource|TestWorker.*'

# What the parts share is built once: the tests, and by the first that needs it each waltap.
shared=$(mktemp -d)
export WALTAP_E2E_BUILDS="$shared"
pids=()
end() {
  local p
  for p in "${pids[@]}"; do kill -- -"$p" 2>/dev/null; done
  wait
  rm -rf "$shared"
}
trap end EXIT
trap 'exit 130' INT TERM
args=("$@")
go test -c -tags e2e -o "$shared/e2e.test" ./e2e || exit 1

# tests runs some of the package's tests, as go test would.
tests() {
  local start=$SECONDS status=ok
  (cd e2e && exec "$shared/e2e.test" -test.paniconexit0 -test.timeout=40m "${args[@]/#-/-test.}" "$@") || status=FAIL
  echo "$status part $part: $((SECONDS - start)) s"
  [ $status = ok ]
}
others() { tests -test.parallel=2 -test.skip="^($stopping|$changing)\$"; }
stopping() { tests -test.run="^($stopping)\$"; }
changing() { tests -test.parallel=2 -test.run="^($changing)\$"; }
# Not of servers: in what time they leave idle.
deploy() {
  local start=$SECONDS status=ok
  nice -n 19 make --no-print-directory deploy-check || status=FAIL
  echo "$status part $part: $((SECONDS - start)) s"
  [ $status = ok ]
}
harness() {
  go test -tags e2e -vet=off -count=1 -p 1 -timeout 40m "${args[@]}" $(go list -tags e2e ./e2e/... | grep -v '/e2e$')
}

# Each in a process group of its own, which can be ended as one; but for the first they say what they have to say at the end. Their
# servers start one set after the other: sixteen JVMs at once would keep two cores busy for a minute.
parts=(others stopping changing harness deploy)
set -m
for i in "${!parts[@]}"; do
  part=${parts[$i]}
  if [ "$i" = 0 ]; then
    $part &
  else
    { sleep $((12 * i)); $part; } >"$shared/$part" 2>&1 &
  fi
  pids+=($!)
done
set +m
status=0
for i in "${!parts[@]}"; do
  wait "${pids[$i]}" || status=1
  if [ "$i" -gt 0 ]; then cat "$shared/${parts[$i]}"; fi
done
pids=()
exit $status
