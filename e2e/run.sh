#!/bin/bash
# All end-to-end tests, in three parts side by side, each with servers of its own, as most of the tests mostly wait: those that
# stop servers, one after the other; those of gaps, and then those of the harness; and all others. A test that is in no list runs
# with the others, which is as right: those that do not call t.Parallel run first there.
# Arguments go to each go test.
set -u
cd "$(dirname "$0")/.."

stopping='TestDoctorNamesAPeerWithoutATableList|TestJoiningTableThatAnotherPeerWouldShip|TestTableWithoutReplicationScope'
stopping+='|TestKilledInTheMiddleOfTheStream|TestKilledInTheStreamLosesChangesWhenAnsweredEarly|TestKafkaIsAwayWhileTheSourceIsWrittenTo'
stopping+='|TestDestinationIsAwayWhileTheSourceIsWrittenTo|TestSourceIsRestarted|TestRegionServersJoinStopAndDie'
stopping+='|TestSinkHBaseIsAcceptable|TestSinkHBaseByMutationIsAcceptable'
gaps='TestPeerOfTheOperator|TestTableIs.*|TestDroppedTableIsThereAgain|TestReplicationScopeIsSwitchedOff|TestPeerIsCreatedAgain'
gaps+='|TestGapIsAccepted|TestNoGap|TestConnectorsThatStartAtOnceDoNotEndARegionServer'

args=("$@")
tests() { go test -tags e2e -count=1 -p 1 -timeout 40m "${args[@]}" "$@"; }

stopping() { tests -run "^($stopping)\$" ./e2e; }
gaps() {
  local status=0
  tests -parallel 2 -run "^($gaps)\$" ./e2e || status=1
  tests $(go list -tags e2e ./e2e/... | grep -v '/e2e$') || status=1
  return $status
}
others() { tests -parallel 3 -skip "^($stopping|$gaps)\$" ./e2e; }

logs=$(mktemp -d)
pids=()
end() {
  local p
  for p in "${pids[@]}"; do kill -- -"$p" 2>/dev/null; done
  wait
  rm -rf "$logs"
}
trap end EXIT
trap 'exit 130' INT TERM

# Each in a process group of its own, which can be ended as one; they say what they have to say at the end. Their servers start
# one set after the other: twelve JVMs at once would keep two cores busy for a minute.
set -m
others &
pids+=($!)
{ sleep 15; stopping; } >"$logs/1" 2>&1 &
pids+=($!)
{ sleep 40; gaps; } >"$logs/2" 2>&1 &
pids+=($!)
set +m
status=0
for i in "${!pids[@]}"; do
  wait "${pids[$i]}" || status=1
  if [ "$i" -gt 0 ]; then cat "$logs/$i"; fi
done
pids=()
exit $status
