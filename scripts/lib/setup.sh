# Installs what the tests need, by package name and pinned version, into $TOOLS; sourced by scripts/test and scripts/bench.
#
# Every part is skipped when it is already there: a stamp file holds the checksum of what it was made from.
# Sources of the packages are whatever this machine's apt, pip, npm and Maven are configured to use.

# stamp NAME FILE…: true if NAME was last made from these very files.
stamp_is_current() {
    local name=$1
    shift
    [ -f "$TOOLS/$name.stamp" ] && [ "$(cat "$@" | sha256sum)" = "$(cat "$TOOLS/$name.stamp")" ]
}

stamp_write() {
    local name=$1
    shift
    cat "$@" | sha256sum > "$TOOLS/$name.stamp"
}

# The Debian packages: kcat, the one client that comes as a program.
setup_debian() {
    if command -v kcat > /dev/null; then
        return
    fi
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends kcat
}

setup_python() {
    local requirements=$ROOT/tests/clients/requirements.txt
    if stamp_is_current python "$requirements"; then
        return
    fi
    rm -rf "$TOOLS/python"
    python3 -m venv "$TOOLS/python"
    "$TOOLS/python/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
    stamp_write python "$requirements"
}

# kafka-python's source package, for the tests in it.
setup_kafka_python_source() {
    local wanted=$ROOT/tests/clients/kafka_python_source.txt
    if stamp_is_current kafka-python-source "$wanted"; then
        return
    fi
    rm -rf "$TOOLS/kafka-python-source"
    "$TOOLS/python/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary :all: --require-hashes \
        --dest "$TOOLS/kafka-python-source" -r "$wanted"
    stamp_write kafka-python-source "$wanted"
}

setup_node() {
    local source=$ROOT/tests/clients/node prefix
    if stamp_is_current node "$source/package.json"; then
        return
    fi
    rm -rf "$TOOLS/node"
    mkdir -p "$TOOLS/node"
    cp "$source/package.json" "$TOOLS/node/"
    # lz4 is compiled here; with node's headers beside node nothing has to be fetched for that.
    prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
    if [ -f "$prefix/include/node/node.h" ]; then
        export npm_config_nodedir=$prefix
    fi
    (cd "$TOOLS/node" && npm install --no-package-lock --no-audit --no-fund --loglevel=error)
    (cd "$TOOLS/node" && node -e 'require("kafkajs-lz4"); require("kafkajs-snappy"); require("@toondepauw/node-zstd")')
    stamp_write node "$source/package.json"
}

# The member of a group that is written in Go. Its modules stand in go.mod, their checksums in go.sum.
setup_go() {
    local source=$ROOT/tests/clients/go
    if stamp_is_current go "$source"/go.mod "$source"/go.sum "$source"/*.go; then
        return
    fi
    mkdir -p "$TOOLS/go"
    (cd "$source" && go build -mod=readonly -trimpath -o "$TOOLS/go/member" .)
    stamp_write go "$source"/go.mod "$source"/go.sum "$source"/*.go
}

# Apache Kafka itself, its clients and its tools.
setup_kafka_jars() {
    local source=$ROOT/tests/clients/java
    if stamp_is_current jars "$source/pom.xml"; then
        return
    fi
    rm -rf "$TOOLS/java/jars"
    mkdir -p "$TOOLS/java"
    cp "$source/pom.xml" "$TOOLS/java/pom.xml"
    (cd "$TOOLS/java" && mvn -q -B dependency:copy-dependencies -DoutputDirectory="$TOOLS/java/jars") || return 1
    stamp_write jars "$source/pom.xml"
}

setup_java() {
    local source=$ROOT/tests/clients/java
    setup_kafka_jars
    if ! stamp_is_current classes "$source/pom.xml" "$source"/*.java; then
        rm -rf "$TOOLS/java/classes"
        javac -Xlint:all,-processing,-classfile,-path -Werror -cp "$TOOLS/java/jars/*" -d "$TOOLS/java/classes" "$source"/*.java
        stamp_write classes "$source/pom.xml" "$source"/*.java
    fi
}

setup_everything() {
    mkdir -p "$TOOLS"
    setup_debian
    setup_python
    setup_kafka_python_source
    setup_node
    setup_go
    setup_java
}
