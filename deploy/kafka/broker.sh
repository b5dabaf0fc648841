#!/bin/sh
# A real Apache Kafka in KRaft mode on loopback, for tests, demo and bench. Nothing that must not be lost belongs there.
#
#   broker.sh start FOLDER [--nodes N] [--secure] [--proxied] [--set FILE]   prints the bootstrap addresses; what is there is kept
#   broker.sh stop FOLDER                                        ends all nodes at once, as `kill -9` does
#   broker.sh start-node FOLDER I | stop-node FOLDER I           one of them; `stop-node` lets it end in order
#   broker.sh hold [--nodes N] [--secure] [--proxied] [--set FILE]           in a folder of its own, until stdin ends; prints the
#                                                                folder, then the addresses
#
#   FOLDER/brokers        the bootstrap addresses          FOLDER/I/pid   its process       FOLDER/I/out   what it logged
#   --secure: FOLDER/mtls and FOLDER/sasl hold the addresses with TLS, FOLDER/tls the keys. Topics have an authorizer:
#   `alice` may everything, `bob` nothing, both with the password `secret` (SCRAM and PLAIN); FOLDER/brokers needs none.
#   --proxied: FOLDER/proxied holds addresses that the nodes give to whoever comes to the port below each. Nobody listens
#   there: a proxy is to, which can cut its clients off. Not together with --secure.
#   --set: a file of settings of a broker, put behind all others.
#   KAFKA_JVM: the options of java; the default starts fast and stays small, `bench` wants another.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
READY_SECONDS_MAX=120
LAUNCHES_MAX=3          # of a node that ends while it starts: its port was taken meanwhile, or its machine stood still
CLIENT_PORT_MIN=20000   # below the ports that the system gives away: a node that is down finds its own free again
PORTS_A_CALL=16         # four for each of up to three nodes
CALLS=700               # where a call begins to look is by its process id

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; say "hint: $2"; exit 1; }

java_of() {
    MODELRAIL_CACHE=${MODELRAIL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/modelrail}
    version=$(sed -n 's/.*<kafka.version>\(.*\)<.*/\1/p' "$here/pom.xml")
    jars=$MODELRAIL_CACHE/kafka-$version
    [ -d "$jars" ] || sh "$here/fetch.sh"
    command -v java >/dev/null 2>&1 || fail "java is missing" "sh deploy/prepare.sh installs it where it may"
    KAFKA_JVM=${KAFKA_JVM:--Xms128m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1}
}

# java OPTIONS.. CLASS ARGUMENTS..; the class path is quoted, or the shell would take the star for its own.
jvm() {
    # shellcheck disable=SC2086
    exec java $KAFKA_JVM "-Dlog4j2.configurationFile=$here/log4j2.properties" -cp "$jars/*" "$@"
}

# A line like this names a random 128 bits as Kafka writes them; one that begins with a dash would be taken for an option.
uuid() { printf 'M%s\n' "$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 2-22)"; }

# As many ports in a row that nobody uses: the first of each such row.
free_ports() {
    awk -v first="$CLIENT_PORT_MIN" -v step="$PORTS_A_CALL" -v calls="$CALLS" -v own="$(($$ % CALLS))" '
        function number(hex,   i, n) { n = 0; hex = toupper(hex)
            for (i = 1; i <= length(hex); i++) n = n * 16 + index("0123456789ABCDEF", substr(hex, i, 1)) - 1
            return n }
        FNR > 1 { split($2, address, ":"); used[number(address[length(address)])] = 1 }
        END { for (call = 0; call < calls; call++) {
                  from = first + (own + call) % calls * step; taken = 0
                  for (port = from; port < from + step; port++) if (port in used) taken = 1
                  if (!taken) print from } }' /proc/net/tcp $(ls /proc/net/tcp6 2>/dev/null)
}

# Takes a row of ports. Its lock is held by this shell and by the nodes that it starts: two calls that look at the same
# moment, before either listens, do not get the same.
take_ports() {
    locks=${TMPDIR:-/tmp}/modelrail-kafka-ports-$(id -u)
    mkdir -p "$locks"
    for base in $(free_ports); do
        exec 9>"$locks/$base"
        if flock -n 9; then return; fi
    done
    fail "no free ports from $CLIENT_PORT_MIN on" "end what listens there"
}

certificates() {
    mkdir -p "$1"
    (
        cd "$1"
        openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=test authority" -keyout ca.key -out ca.pem
        # Signed by nobody whom the brokers trust.
        openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=stranger" -keyout stranger.key -out stranger.pem
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >names
        for name in broker client; do
            openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout "$name.key" -out "$name.csr"
            openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile names \
                -out "$name.pem"
        done
        cat broker.key broker.pem >broker.store
    ) >"$1.out" 2>&1 || { cat "$1.out" >&2; exit 1; }
}

# node FOLDER I: its settings.
settings() {
    folder=$1 node=$2
    at() { echo $((base + (node - 1) * 4 + $1)); }
    cat "$here/server.properties"
    copies=$((nodes < 3 ? 1 : 3))
    in_sync=$((nodes < 3 ? 1 : 2))
    listeners=PLAINTEXT://127.0.0.1:$(at 0),CONTROLLER://127.0.0.1:$(at 1)
    if [ -n "$secure" ]; then
        listeners=$listeners,MTLS://127.0.0.1:$(at 2),SASL://127.0.0.1:$(at 3)
        cat <<END
ssl.keystore.type=PEM
ssl.keystore.location=$folder/tls/broker.store
ssl.truststore.type=PEM
ssl.truststore.location=$folder/tls/ca.pem
listener.name.mtls.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
    user_alice="secret" user_bob="secret";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:alice;User:CN=client
END
    fi
    if [ -n "$proxied" ]; then
        echo "advertised.listeners=PLAINTEXT://127.0.0.1:$(at 0),PROXIED://127.0.0.1:$(at 3)"
        listeners=$listeners,PROXIED://127.0.0.1:$(at 2)
    fi
    cat <<END
node.id=$node
controller.quorum.voters=$voters
listeners=$listeners
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT,MTLS:SSL,SASL:SASL_SSL
log.dirs=$folder/$node/log
offsets.topic.replication.factor=$copies
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$in_sync
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$in_sync
END
    [ -z "$extra" ] || cat "$extra"
}

# The addresses of all nodes that are the n-th of each.
addresses() {
    node=1 list=
    while [ "$node" -le "$nodes" ]; do
        list=$list${list:+,}127.0.0.1:$((base + (node - 1) * 4 + $1))
        node=$((node + 1))
    done
    echo "$list"
}

# A new cluster: settings, keys, and formatted folders. One java formats the first; the others are copies of it.
format() {
    folder=$1
    take_ports
    voters=
    node=1
    while [ "$node" -le "$nodes" ]; do
        voters=$voters${voters:+,}$node@127.0.0.1:$((base + (node - 1) * 4 + 1))
        node=$((node + 1))
    done
    users=
    if [ -n "$secure" ]; then
        certificates "$folder/tls"
        addresses 2 >"$folder/mtls"
        addresses 3 >"$folder/sasl"
        for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
            for user in alice bob; do
                users="$users --add-scram $mechanism=[name=$user,password=secret]"
            done
        done
    fi
    [ -z "$proxied" ] || addresses 3 >"$folder/proxied"
    node=1
    while [ "$node" -le "$nodes" ]; do
        mkdir -p "$folder/$node"
        settings "$folder" "$node" >"$folder/$node/server.properties"
        if [ "$node" = 1 ]; then
            # shellcheck disable=SC2086
            (jvm kafka.tools.StorageTool format -t "$(uuid)" -c "$folder/1/server.properties" $users) \
                >"$folder/1/format" 2>&1 </dev/null || { cat "$folder/1/format" >&2; exit 1; }
        else
            cp -R "$folder/1/log" "$folder/$node/log"
            sed -i "s/^node.id=.*/node.id=$node/; s|^directory.id=.*|directory.id=$(uuid)|" \
                "$folder/$node/log/meta.properties"
        fi
        node=$((node + 1))
    done
    # Last: with it the folder is whole.
    addresses 0 >"$folder/brokers"
}

command_line() { cat "/proc/$1/cmdline" 2>/dev/null | tr '\0' ' '; }

# Whether the process of node $2 runs; one of another program that has its number by now is not it.
runs() {
    [ -f "$1/$2/pid" ] && command_line "$(cat "$1/$2/pid")" | grep -qF "$1/$2/server.properties"
}

launch() {
    folder=$1 node=$2
    [ ! -f "$folder/$node/out" ] || cat "$folder/$node/out" >>"$folder/$node/out.before"
    # Here, not by the shell below: `await` looks into it at once.
    : >"$folder/$node/out"
    # Away from the terminal's group, so that ^C reaches it only through whoever started it.
    (trap '' HUP INT; jvm kafka.Kafka "$folder/$node/server.properties") \
        >>"$folder/$node/out" 2>&1 </dev/null &
    echo $! >"$folder/$node/pid"
}

# What a node said that explains its end: the first errors, and the last lines.
told() { grep -m 10 -A 3 -E 'ERROR|FATAL|Exception' "$1" >&2 || :; say ...; tail -n 20 "$1" >&2; }

await() {
    folder=$1 node=$2 launches=1
    until=$(($(date +%s) + READY_SECONDS_MAX))
    until grep -qF 'Kafka Server started' "$folder/$node/out"; do
        # Not `runs`: it may still be the shell that becomes java. One that ended has no command line.
        if [ -z "$(command_line "$(cat "$folder/$node/pid")")" ]; then
            told "$folder/$node/out"
            [ "$launches" -lt "$LAUNCHES_MAX" ] ||
                fail "node $node ended while it started" "see the lines above, and $folder/$node/out"
            say "node $node ended while it started, and is started again"
            launch "$folder" "$node"
            launches=$((launches + 1))
        fi
        if [ "$(date +%s)" -gt "$until" ]; then
            told "$folder/$node/out"
            fail "node $node did not start within $READY_SECONDS_MAX s" "see the lines above, and $folder/$node/out"
        fi
        sleep 0.1
    done
}

all() { (cd "$1" && ls -d [1-9]* 2>/dev/null || :); }

start() {
    java_of
    mkdir -p "$1"
    folder=$(cd "$1" && pwd)
    if [ ! -f "$folder/brokers" ]; then
        [ -z "$(all "$folder")" ] || fail "$folder holds half a cluster" "remove it, and start again"
        format "$folder"
    fi
    for each in $(all "$folder"); do runs "$folder" "$each" || launch "$folder" "$each"; done
    for each in $(all "$folder"); do await "$folder" "$each"; done
}

stop() {
    folder=$(cd "$1" && pwd)
    for each in $(all "$folder"); do
        if runs "$folder" "$each"; then kill -9 "$(cat "$folder/$each/pid")" || :; fi
    done
    for each in $(all "$folder"); do
        while runs "$folder" "$each"; do sleep 0.05; done
    done
}

[ $# -gt 0 ] || { sed -n '2,19s/^# \{0,1\}//p' "$0" >&2; exit 2; }
what=$1 place=
shift
if [ "$what" != hold ]; then
    [ $# -gt 0 ] || fail "$what needs a folder" "broker.sh $what FOLDER"
    place=$1
    shift
fi
nodes=1 secure='' proxied='' extra='' one=''
while [ $# -gt 0 ]; do
    case $1 in
    --nodes) nodes=$2 && shift ;;
    --secure) secure=yes ;;
    --proxied) proxied=yes ;;
    --set) extra=$2 && shift ;;
    [1-9]) one=$1 ;;
    *) fail "unknown: $1" "broker.sh alone says what there is" ;;
    esac
    shift
done
[ -z "$secure" ] || [ -z "$proxied" ] || fail "--secure and --proxied" "both have the same ports"
case $nodes in 1 | 2 | 3) ;; *) fail "--nodes $nodes" "1, 2 or 3" ;; esac

case $what in
start)
    start "$place"
    cat "$place/brokers"
    ;;
stop) stop "$place" ;;
start-node)
    java_of
    place=$(cd "$place" && pwd)
    runs "$place" "$one" || launch "$place" "$one"
    await "$place" "$one"
    ;;
stop-node)
    place=$(cd "$place" && pwd)
    if runs "$place" "$one"; then kill "$(cat "$place/$one/pid")"; fi
    while runs "$place" "$one"; do sleep 0.05; done
    ;;
hold)
    place=$(mktemp -d)
    # However this ends: whoever holds the other end of stdin is gone.
    trap 'stop "$place"; rm -rf "$place"' EXIT
    trap 'exit 1' HUP INT TERM
    start "$place"
    printf '%s\n' "$place"
    cat "$place/brokers"
    cat >/dev/null
    ;;
*) fail "unknown: $what" "start, stop, start-node, stop-node, hold" ;;
esac
