# ruff: noqa: E501 - shell does not wrap well
"""An agent of a few lines of shell that keeps OCF 1.1: the tests break it on purpose.

A background `sleep` is its service. It needs no PATH. The process puts itself on record while it still belongs to the
agent's process group, so an agent that is killed leaves nothing unrecorded.
"""

from pathlib import Path

PARAMETERS = {"name": "x", "file": "/etc/hostname"}

TINY = r"""#!/bin/sh
state="$HA_RSCTMP/tiny-$OCF_RESOURCE_INSTANCE"
reason() { echo "ocf-exit-reason:tiny: $1" >&2; }
metadata() {
cat=/bin/cat
$cat <<END
<?xml version="1.0"?>
<resource-agent name="tiny" version="7.0">
<version>1.1</version>
<longdesc lang="en">A tiny agent.</longdesc>
<shortdesc lang="en">Tiny</shortdesc>
<parameters>
<parameter name="name" required="1" unique-group="name">
<longdesc lang="en">Its name.</longdesc><shortdesc lang="en">Name</shortdesc><content type="string"/></parameter>
<parameter name="count" reloadable="1">
<longdesc lang="en">How many.</longdesc><shortdesc lang="en">Count</shortdesc><content type="integer" default="1"/></parameter>
<parameter name="file">
<longdesc lang="en">A file.</longdesc><shortdesc lang="en">File</shortdesc><content type="string" default=""/></parameter>
</parameters>
<actions>
<action name="start" timeout="5s"/>
<action name="stop" timeout="5s"/>
<action name="monitor" timeout="5s" interval="10s" depth="0"/>
<action name="monitor" timeout="5s" interval="20s" depth="10"/>
<action name="promote" timeout="5s"/>
<action name="demote" timeout="5s"/>
<action name="reload-agent" timeout="5s"/>
<action name="validate-all" timeout="5s"/>
<action name="meta-data" timeout="5s"/>
</actions>
</resource-agent>
END
}
validate() {
  [ -n "$OCF_RESKEY_name" ] || { reason "name is missing; set it"; exit 6; }
  case "${OCF_RESKEY_count:-1}" in *[!0-9]*) reason "count=$OCF_RESKEY_count is no number"; exit 6;; esac
}
recorded() { pid=; [ -f "$state" ] && read -r pid <"$state"; [ -n "$pid" ]; }
monitor() {
  recorded || return 7
  kill -0 "$pid" 2>/dev/null || { reason "process $pid is gone; see its log"; return 1; }
  [ -s "$state.role" ] && return 8
  return 0
}
start() {
  validate
  monitor 2>/dev/null; case $? in 0|8) return 0;; esac
  /bin/sh -c 'echo $$ >"$1"; exec /usr/bin/setsid /bin/sleep 1000' sh "$state" >/dev/null 2>&1 &
  until monitor 2>/dev/null; do /bin/sleep 0.01; done
  /bin/sleep 0.05
  return 0
}
stop() {
  if recorded; then
    kill -9 "$pid" 2>/dev/null
    while kill -0 "$pid" 2>/dev/null; do /bin/sleep 0.01; done
    /bin/sleep 0.03
    : >"$state.role"
    : >"$state"
  fi
  return 0
}
promote() { echo promoted >"$state.role"; }
demote() { : >"$state.role"; }
reload_agent() { validate; monitor; }
case "$1" in
  meta-data) metadata;;
  monitor) validate; monitor; exit $?;;
  start) start; exit $?;;
  stop) stop; exit $?;;
  promote) promote; exit $?;;
  demote) demote; exit $?;;
  reload-agent) reload_agent; exit $?;;
  validate-all) validate; exit 0;;
  *) reason "there is no action $1"; exit 3;;
esac
"""


def write(directory: Path, *edits: tuple[str, str]) -> Path:
    """The agent with each `old` (which stands there exactly once) replaced by `new`."""
    text = TINY
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} stands there {text.count(old)} times"
        text = text.replace(old, new)
    path = directory / "tiny"
    path.write_text(text)
    path.chmod(0o755)
    return path
