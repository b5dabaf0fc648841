# Sourced by the scripts of this repository: one environment for every cargo call, so that nothing is built twice.
#
# RocksDB is 90 % of a cold build (12 to 19 minutes on two cores). Its archive is built once and kept outside the
# clone; cargo uses it when it is there and builds RocksDB from source when it is not.

root=$(git rev-parse --show-toplevel 2>/dev/null || pwd)
rocksdb_version=$(sed -n '/^name = "librocksdb-sys"$/{n;s/^version = ".*+\(.*\)"$/\1/p;}' "$root/Cargo.lock")
MODELRAIL_CACHE=${MODELRAIL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/modelrail}
rocksdb_archive=$MODELRAIL_CACHE/rocksdb-$rocksdb_version
kafka_version=$(sed -n 's/.*<kafka.version>\(.*\)<.*/\1/p' "$root/deploy/kafka/pom.xml")
kafka_jars=$MODELRAIL_CACHE/kafka-$kafka_version
export MODELRAIL_CACHE

if [ -f "$rocksdb_archive/librocksdb.a" ]; then
    ROCKSDB_LIB_DIR=$rocksdb_archive
    ROCKSDB_STATIC=1
    export ROCKSDB_LIB_DIR ROCKSDB_STATIC
fi
