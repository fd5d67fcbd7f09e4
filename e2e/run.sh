#!/bin/bash
# All end-to-end tests, in two halves side by side, each with servers of its own. The tests that stop servers run one after the
# other and mostly wait; the others use the machine meanwhile. A test that is not in the list runs with the others, which is as
# right: those that do not call t.Parallel just run first there.
# Arguments go to both go test.
set -u
cd "$(dirname "$0")/.."

stopping='^(TestJoiningTableThatAnotherPeerWouldShip|TestTableWithoutReplicationScope'
stopping+='|TestKilledInTheMiddleOfTheStream|TestKilledInTheStreamLosesChangesWhenAnsweredEarly|TestKafkaIsAwayWhileTheSourceIsWrittenTo'
stopping+='|TestDestinationIsAwayWhileTheSourceIsWrittenTo|TestSourceIsRestarted|TestRegionServersJoinStopAndDie'
stopping+='|TestSinkHBaseIsAcceptable|TestSinkHBaseByMutationIsAcceptable)$'

log=$(mktemp)
half=
end() {
  if [ -n "$half" ]; then kill -- -"$half" 2>/dev/null; wait "$half"; fi
  rm -f "$log"
}
trap end EXIT
trap 'exit 130' INT TERM

test=(go test -tags e2e -count=1 -p 1 -timeout 40m "$@")
# The tests of the harness start and stop servers, too.
harness=$(go list -tags e2e ./e2e/... | grep -v '/e2e$')

set -m # a process group of its own, which can be ended as one
{ s=0; "${test[@]}" -run "$stopping" ./e2e || s=1; "${test[@]}" $harness || s=1; exit $s; } >"$log" 2>&1 &
half=$!
set +m
status=0
"${test[@]}" -parallel 3 -skip "$stopping" ./e2e || status=1
wait "$half" || status=1
half=
cat "$log"
exit $status
