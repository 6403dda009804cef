# ruff: noqa: E501 - XML does not wrap well
"""A fence agent that keeps the Fence Agent API, as small as can be, and its device: a folder. Broken on purpose, one
edit at a time, by the tests of `kappa-agents conform`.
"""

from pathlib import Path

AGENT = r"""#!/bin/sh
action=reboot plug= node= folder= password=
set_option() {
  case $1 in action) action=$2;; plug) plug=$2;; nodename) node=$2;; folder) folder=$2;; password) password=$2;; esac
}
if [ $# = 0 ]; then
  while IFS= read -r line; do
    case $line in '#'*) continue;; *=*) ;; *) continue;; esac
    set_option "${line%%=*}" "${line#*=}"
  done
fi
long() { case $1 in *=*) set_option "${1%%=*}" "${1#*=}";; *) set_option "$1" "$2"; return 1;; esac; }
while [ $# -gt 0 ]; do
  case $1 in
    --*) long "${1#--}" "${2-}" || shift; shift; continue;;
    -o*) name=action;; -n*) name=plug;; -f*) name=folder;; -p*) name=password;; -N*) name=nodename;;
    *) echo "tiny: what is $1" >&2; exit 1;;
  esac
  if [ ${#1} = 2 ]; then set_option $name "$2"; shift; else set_option $name "${1#??}"; fi
  shift
done
action=$(echo "$action" | tr A-Z a-z)

metadata() {
cat <<'XML'
<?xml version="1.0"?>
<resource-agent name="fence_tiny" shortdesc="Tiny">
<longdesc>Tiny</longdesc>
<vendor-url>http://localhost</vendor-url>
<parameters>
<parameter name="action" unique="0" required="1"><getopt mixed="-o, --action=[action]"/><content type="string" default="reboot"/><shortdesc lang="en">Action</shortdesc></parameter>
<parameter name="plug" unique="0" required="1" obsoletes="port"><getopt mixed="-n, --plug=[plug]"/><content type="string"/><shortdesc lang="en">Plug</shortdesc></parameter>
<parameter name="port" unique="0" required="1" deprecated="1"><getopt mixed="-n, --plug=[plug]"/><content type="string"/><shortdesc lang="en">Plug</shortdesc></parameter>
<parameter name="folder" unique="0" required="1"><getopt mixed="-f, --folder=[folder]"/><content type="string"/><shortdesc lang="en">Device</shortdesc></parameter>
<parameter name="password" unique="0" required="0"><getopt mixed="-p, --password=[password]"/><content type="string"/><shortdesc lang="en">Secret</shortdesc></parameter>
</parameters>
<actions>
<action name="on" automatic="0"/>
<action name="off"/>
<action name="reboot"/>
<action name="status"/>
<action name="list"/>
<action name="list-status"/>
<action name="monitor"/>
<action name="metadata"/>
<action name="validate-all"/>
</actions>
</resource-agent>
XML
}
fail() { echo "tiny: $*" >&2; exit 1; }
reach() {
  read -r mood <"$folder/mood" || fail "no device"
  case $mood in away) fail "no connection";; silent) sleep 0.05; fail "no answer in time";; esac
}
look() {
  reach
  case $mood in garbage) echo "?!";; in-between) echo "shutting down";; *) cat "$folder/state";; esac
}
state() {
  [ "$plug" = m1 ] || fail "there is no $plug"
  seen=$(look) || exit 1
  case $seen in on|off) ;; *) fail "its state is unknown: $seen";; esac
}
cut() {
  [ "$mood" = stuck ] || echo off >"$folder/state"
  state
  [ "$seen" = off ] || fail "it did not take"
}
start() { read -r runs <"$folder/runs"; echo $((runs + 1)) >"$folder/runs"; echo on >"$folder/state"; }
[ "$action" != metadata ] || { metadata; exit 0; }
case $action in on|off|reboot|status|list|list-status|monitor|validate-all) ;; *) fail "what is $action";; esac
[ -n "$folder" ] || fail "folder is missing"
[ "$action" != validate-all ] || exit 0
plug=${plug:-$node}
case $action in on|off|reboot|status) [ -n "$plug" ] || fail "plug is missing"; reach; state;; *) reach;; esac
case $action in
  status) [ "$seen" = on ] || exit 2;;
  off) [ "$seen" = off ] || cut;;
  on) [ "$seen" = on ] || start;;
  reboot) cut; start;;
  list) echo "m1,machine one";;
  list-status) echo "m1,machine one,$(cat "$folder/state")";;
  monitor) ;;
esac
"""
STAGE = """#!/bin/sh
case $1 in on|off) echo $1 >{folder}/state;; *) echo $1 >{folder}/mood;; esac
"""
STATE = """#!/bin/sh
read -r state <{folder}/state; read -r runs <{folder}/runs
if [ $state = on ]; then echo "on $runs"; else echo off; fi
"""


def write(folder: Path, *edits: tuple[str, str]) -> Path:
    """The agent with those edits, each of which must find its text."""
    text = AGENT
    for old, new in edits:
        assert text.count(old) >= 1, old
        text = text.replace(old, new)
    return _script(folder / "fence_tiny", text)


def device(folder: Path) -> dict[str, str]:
    """A device in `folder`; `stage` and `state`: the commands that tell of it."""
    for name, text in (("mood", "well"), ("state", "on"), ("runs", "1")):
        (folder / name).write_text(text + "\n")
    stage = _script(folder / "stage", STAGE.format(folder=folder))
    return {"stage": str(stage), "state_command": str(_script(folder / "truth", STATE.format(folder=folder)))}


def parameters(folder: Path) -> dict[str, str]:
    return {"plug": "m1", "folder": str(folder), "password": "s3cret-of-tiny"}


def _script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path
