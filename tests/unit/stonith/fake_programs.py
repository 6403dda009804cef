"""`virsh` and `VBoxManage` as programs, over a few machines in a file: the outputs and exit codes of the real ones.

Written after virsh 9.0 over QEMU 7.2, run by hand for every state that can be brought about there, and after what
VBoxManage 7.0 prints; both in the words that they have with LC_ALL=C.
"""

import json
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMON = r"""
import json, os, sys, time
here, arguments = os.path.dirname(os.path.abspath(__file__)), sys.argv[1:]
with open(here + "/calls", "a") as log:
    log.write(json.dumps({"argv": arguments, "env": dict(os.environ)}) + "\n")
with open(here + "/machines") as file:
    world = json.load(file)
def save():
    with open(here + "/machines.new", "w") as file:
        json.dump(world, file)
    os.rename(here + "/machines.new", here + "/machines")
def end(code, out="", err=""):
    sys.stdout.write(out), sys.stderr.write(err)
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(code)
def find(name):
    for one in world["machines"]:
        if name in (one["uuid"], one["name"]):
            return one
for pattern, (code, out, err) in world["raw"].items():
    if pattern in " ".join(arguments):
        end(code, out, err)
if world["hang"] and world["hang"] in " ".join(arguments):
    time.sleep(60)
"""

VIRSH = r"""
assert arguments[:2] == ["--quiet", "--connect"], arguments
if world["away"]:
    end(1, "", "error: failed to connect to the hypervisor\nerror: Failed to connect socket to "
        "'/var/run/libvirt/libvirt-sock': No such file or directory\n")
commands = " ".join(arguments[3:])
if commands == "list --all --name":
    end(0, "".join(one["name"] + "\n" for one in world["machines"]))
out, code = "", 0
for command in commands.split("; "):
    words = command.split()
    one = find(words[1])
    if one is None:
        sys.stderr.write("error: failed to get domain '%s'\n" % words[1])
        code = 1
        continue
    code, active = 0, one["id"] != "-"
    if words[0] == "domstate":
        out += "%s (%s)\n\n" % (one["state"], one["reason"]) if "--reason" in words else one["state"] + "\n\n"
    elif words[0] == "dominfo":
        out += ("Id:             %(id)s\nName:           %(name)s\nUUID:           %(uuid)s\nOS Type:        hvm\n"
            "State:          %(state)s\nCPU(s):         1\n" % one + ("CPU time:       0.3s\n" if active else "")
            + "Max memory:     65536 KiB\nUsed memory:    65536 KiB\nPersistent:     %(persistent)s\n"
            "Autostart:      %(autostart)s\nManaged save:   %(managed)s\nSecurity model: none\n\n" % one)
    elif words[0] == "destroy" and "--graceful" not in words:
        if not active:
            sys.stderr.write("error: Failed to destroy domain '%s'\n"
                "error: Requested operation is not valid: domain is not running\n" % words[1])
            code = 1
        elif one["kill_takes"]:
            one.update(id="-", state="shut off", reason="destroyed")
            if one["persistent"] == "no":
                world["machines"].remove(one)
    elif words[0] == "start":
        if active:
            sys.stderr.write("error: Domain is already active\n")
            code = 1
        else:
            world["starts"] += 1
            booted = one["managed"] == "no" or "--force-boot" in words
            reason = "booted" if booted else "restored"
            one.update(id=str(world["starts"]), state="running", reason=reason, managed="no")
    elif words[0] == "managedsave-remove":
        one["managed"] = "no"
    else:
        end(1, "", "error: unknown command: '%s'\n" % words[0])
save()
end(code, out)
"""

VBOXMANAGE = r"""
assert arguments[0] == "--nologo", arguments
words = arguments[1:]
if words == ["list", "vms"]:
    end(0, "".join('"%(name)s" {%(uuid)s}\n' % one for one in world["machines"]))
one = find(words[1])
if one is None:
    end(1, "", "VBoxManage: error: Could not find a registered machine named '%s'\n"
        "VBoxManage: error: Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001), component VirtualBoxWrap, "
        "interface IVirtualBox, callee nsISupports\n" % words[1])
running = one["state"] not in ("poweroff", "aborted", "saved", "aborted-saved", "teleported")
if words[0] == "showvminfo" and words[2:] == ["--machinereadable"]:
    end(0, 'name="%(name)s"\ngroups="/"\nostype="Debian (64-bit)"\nUUID="%(uuid)s"\n'
        'CfgFile="/home/lab/VirtualBox VMs/%(name)s/%(name)s.vbox"\nhardwareuuid="%(uuid)s"\nmemory=512\n'
        'autostart-enabled="%(autostart)s"\nVMState="%(state)s"\n'
        'VMStateChangeTime="2026-01-01T00:00:00.%(changed)09d"\nmonitorcount=1\n%(guest)s' % one)
if words[0] == "controlvm" and words[2:] == ["poweroff"]:
    if not running:
        end(1, "", "VBoxManage: error: Machine '%s' is not currently running.\n" % one["name"])
    if one["deaf"]:
        time.sleep(60)
    if one["kill_takes"]:
        one["state"] = "poweroff"
elif words[0] == "startvm" and words[2:] == ["--type", "emergencystop"]:
    if one["kill_takes"]:
        one["state"] = "aborted"
elif words[0] == "startvm" and words[2:] == ["--type", "headless"]:
    if running:
        end(1, "", "VBoxManage: error: The machine '%s' is already locked by a session (or being locked or unlocked)\n"
            % one["name"])
    one["state"] = "running"
elif words[0] == "discardstate":
    one["state"] = "poweroff" if one["state"] == "saved" else "aborted"
else:
    end(1, "", "VBoxManage: error: Invalid command: %s\n" % words)
one["changed"] += 1
if world["proc"]:
    pid = "%s/%d" % (world["proc"], one["pid"])
    if one["state"] in ("poweroff", "aborted", "saved") and one["process_ends"]:
        for name in ("cmdline", "stat"):
            if os.path.exists(pid + "/" + name):
                os.unlink(pid + "/" + name)
    elif one["state"] == "running":
        one["pid"] += 1
        pid = "%s/%d" % (world["proc"], one["pid"])
        os.mkdir(pid)
        open(pid + "/cmdline", "w").write("VBoxHeadless\0--comment\0%s\0--startvm\0%s\0" % (one["name"], one["uuid"]))
        open(pid + "/stat", "w").write("%d (VBoxHeadless) S 1%s 7 0" % (one["pid"], " 0" * 17))
save()
end(0, "", "0%...10%...20%...30%...40%...50%...60%...70%...80%...90%...100%\n" if words[0] == "controlvm" else "")
"""


def a_uuid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


@dataclass
class Program:
    """One of the two in a folder of its own, and the machines that it shows."""

    folder: Path
    body: str
    defaults: dict[str, Any]
    world: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.path = self.folder / "program"
        self.path.write_text(f"#!{sys.executable} -IS\n{COMMON}{self.body}")
        self.path.chmod(0o755)
        self.proc = self.folder / "proc"
        self.proc.mkdir()
        (self.folder / "machines").write_text(
            json.dumps({"machines": [], "raw": {}, "hang": "", "away": False, "starts": 1, "proc": str(self.proc)})
        )

    def read(self) -> dict[str, Any]:
        world: dict[str, Any] = json.loads((self.folder / "machines").read_text())
        return world

    def set(self, **about: Any) -> None:
        new = self.folder / "machines.set"
        new.write_text(json.dumps({**self.read(), **about}))
        new.rename(self.folder / "machines")

    def add(self, name: str, **about: Any) -> str:
        one = {"name": name, "uuid": a_uuid(name), **self.defaults, **about}
        others = [other for other in self.read()["machines"] if other["name"] != name]
        self.set(machines=[*others, one])
        return str(one["uuid"])

    def machine(self, name: str) -> dict[str, Any]:
        return next(one for one in self.read()["machines"] if one["name"] == name)

    def process(self, pid: int, *arguments: str, state: str = "S", started: int = 7) -> None:
        """A process in its /proc."""
        (self.proc / str(pid)).mkdir(exist_ok=True)
        (self.proc / str(pid) / "cmdline").write_text("".join(f"{word}\0" for word in arguments))
        (self.proc / str(pid) / "stat").write_text(f"{pid} (a) b) {state} 1{' 0' * 17} {started} 0")

    def calls(self) -> list[list[str]]:
        return [call["argv"] for call in self.logged()]

    def logged(self) -> list[dict[str, Any]]:
        log = self.folder / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def virsh(folder: Path) -> Program:
    usual = {"id": "1", "state": "running", "reason": "booted", "persistent": "yes", "autostart": "disable"}
    return Program(folder, VIRSH, {**usual, "managed": "no", "kill_takes": True})


def vboxmanage(folder: Path) -> Program:
    usual = {"state": "running", "autostart": "off", "changed": 1, "guest": "", "deaf": False, "kill_takes": True}
    return Program(folder, VBOXMANAGE, {**usual, "pid": 4321, "process_ends": True})
