#!/bin/sh
# Installs what the real servers of the end-to-end tests need: Java 17 and Maven,
# and openssl, which a test converts a key store with. With the argument chromium,
# also the browser that the web page is tested in. Does nothing, quickly, when all are
# there.
set -eu

# A JDK of a version that HBase 2.6 starts on.
have_jdk() {
	ls /usr/lib/jvm/java-17-*/bin/javac >/dev/null 2>&1 && return 0
	command -v javac >/dev/null 2>&1 || return 1
	case "$(javac -version 2>&1)" in
	"javac 17"* | "javac 18"* | "javac 19"* | "javac 20"* | "javac 21"* | "javac 22"*) return 0 ;;
	esac
	return 1
}

missing=""
have_jdk || missing="openjdk-17-jdk-headless"
if ! command -v mvn >/dev/null 2>&1; then
	missing="$missing maven"
fi
if ! command -v openssl >/dev/null 2>&1; then
	missing="$missing openssl"
fi
have_browser() {
	[ -n "${CHROMIUM:-}" ] && return 0
	for name in chromium chromium-browser google-chrome-stable google-chrome; do
		command -v "$name" >/dev/null 2>&1 && return 0
	done
	return 1
}
if [ "${1:-}" = chromium ] && ! have_browser; then
	missing="$missing chromium fonts-dejavu-core"
fi
if [ -z "$missing" ]; then
	exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "waltap e2e: installing $missing ..." >&2
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# shellcheck disable=SC2086 # a list of packages
	apt-get install -y -qq --no-install-recommends $missing >/dev/null
	exit 0
fi
echo "waltap e2e: missing; as root on Debian:" >&2
echo "    apt-get install -y $missing" >&2
exit 1
