#!/bin/bash
# Write the group, its router, its uplink's rule and its fencing into a copy of the cluster's configuration, with pcs, to be looked at and then
# loaded in one piece:
#
#   pcs cluster cib kappa.xml                                       # a copy of what the cluster has
#   NODE_SETTINGS=my.env crm_configs/kappa.pcs.sh kappa.xml
#   pcs cluster cib-push kappa.xml --config
#
# Where the file does not exist an empty configuration is begun, so that this also works where no cluster runs: pcs and the
# agents are all it needs. The cluster itself is not touched.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 1 ] || { echo "usage: NODE_SETTINGS=FILE $0 CIB_FILE (the file to add to)" >&2; exit 2; }
# shellcheck source=lab.env
. "${NODE_SETTINGS:-$here/lab.env}"
cib=$1
draft=$(mktemp)
trap 'rm -f "$draft" "$draft".*' EXIT
if [ -s "$cib" ]; then cp "$cib" "$draft"; else cat >"$draft" <<XML
<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">
  <configuration><crm_config/><nodes/><resources/><constraints/></configuration><status/>
</cib>
XML
fi
p() { pcs -f "$draft" "$@"; }

# --- the cluster -----------------------------------------------------------------------------------------------------------
# Without quorum everything stops: a node that sees no other must not operate. The node with the bot is given a head start when
# two halves would shoot each other.
p property set stonith-enabled=true no-quorum-policy=stop dc-deadtime=5s stonith-timeout=40s \
  priority-fencing-delay=2s cluster-recheck-interval=2min
# Stickiness: a service that runs stays where it is when a node comes back. Three failures in a row on a node move the group away;
# a minute without one is forgiveness.
p resource defaults update resource-stickiness=100 migration-threshold=3 failure-timeout=60s

# --- fencing ---------------------------------------------------------------------------------------------------------------
p stonith create fence-kappa fence_kappa server="$FENCE_SERVERS" key_file="$FENCE_KEY" \
  pcmk_host_list="$NODES" pcmk_host_check=static-list pcmk_reboot_timeout=20s pcmk_off_timeout=20s \
  op monitor interval=30s timeout=15s
# Where there is a second broker it is the second level: asked when the first did not answer, or could not prove the node off.
if [ -n "${FENCE_SERVERS_2:-}" ]; then
  p stonith create fence-kappa-2 fence_kappa server="$FENCE_SERVERS_2" key_file="${FENCE_KEY_2:-$FENCE_KEY}" \
    pcmk_host_list="$NODES" pcmk_host_check=static-list pcmk_reboot_timeout=20s pcmk_off_timeout=20s \
    op monitor interval=37s timeout=15s
  # by pattern: a copy of the configuration need not list the nodes yet
  all="regexp%^(${NODES// /|})\$"
  p stonith level add 1 "$all" fence-kappa
  p stonith level add 2 "$all" fence-kappa-2
fi
# The last level, where SBD runs on every node with a watchdog: a node that nobody can reach resets itself. README.md beside this
# file has the arithmetic. Never set this without SBD: Pacemaker then stops at once.
if [ -n "${WATCHDOG_TIMEOUT:-}" ]; then
  p property set stonith-watchdog-timeout="$WATCHDOG_TIMEOUT"
  p stonith create watchdog fence_watchdog pcmk_host_list="$NODES"
  p stonith level add 3 "regexp%^(${NODES// /|})\$" watchdog
fi

# --- the router, on every node ---------------------------------------------------------------------------------------------
p resource create router ocf:kappa:mongos binary="$MONGOS" configdb="$CONFIGDB" keyfile="$MONGOS_KEYFILE" \
  user="$BOT_USER" bind_ip=127.0.0.1 port=27017 log=/var/log/kappa/mongos.log \
  ${MONGOS_OPTIONS:+options="$MONGOS_OPTIONS"} \
  op start interval=0s timeout=30s op stop interval=0s timeout=20s \
  op monitor interval=10s timeout=10s op monitor interval=31s timeout=15s OCF_CHECK_LEVEL=10 \
  clone interleave=true

# --- what each node can reach, as node attributes ------------------------------------------------------------------------
p resource create uplink ocf:kappa:uplink telegram_url="$TELEGRAM_URL" router=127.0.0.1:27017 data_tier="${CONFIGDB#*/}" \
  op start interval=0s timeout=15s op stop interval=0s timeout=15s \
  op monitor interval=5s timeout=10s op monitor interval=61s timeout=15s OCF_CHECK_LEVEL=10 \
  clone interleave=true
# Where both come up at once the router is first, so that it is not measured before it is there; neither needs the other.
p constraint order start router-clone then start uplink-clone kind=Optional symmetrical=false

# --- what runs once: the address, the web server on it, the bot ------------------------------------------------------------
p resource create vip ocf:kappa:vip ip="$VIP" prefix="$VIP_PREFIX" reset_connections=true \
  op start interval=0s timeout=15s op stop interval=0s timeout=15s \
  op monitor interval=5s timeout=10s op monitor interval=29s timeout=10s OCF_CHECK_LEVEL=10 --group kappa
p resource create web ocf:kappa:nginx config="$NGINX_CONFIG" status_url="$NGINX_STATUS_URL" \
  op start interval=0s timeout=20s op stop interval=0s timeout=20s \
  op monitor interval=7s timeout=10s op monitor interval=23s timeout=15s OCF_CHECK_LEVEL=10 --group kappa
# deaf_after: twice poll_timeout_s of the bot's configuration; it gives up a poll after that and 5 s, and tries anew at once. A start
# that Telegram does not answer fails after its timeout, and only then is another node tried: no longer than a start may need.
p resource create bot ocf:kappa:telegram-bot config="$BOT_CONFIG" user="$BOT_USER" deaf_after=20s \
  op start interval=0s timeout=20s op stop interval=0s timeout=30s \
  op monitor interval=6s timeout=10s op monitor interval=13s timeout=15s OCF_CHECK_LEVEL=10 --group kappa
p resource meta bot priority=10

# The bot talks to the router of its own node: the router first, and no group where no router runs.
p constraint order start router-clone then kappa
p constraint colocation add kappa with router-clone
# A node that does not reach Telegram gives the group up in good order, unfenced, and none takes it that was not seen to reach it.
p constraint location kappa rule score=-INFINITY kappa-telegram ne 1 or not_defined kappa-telegram
# One that does not reach the data tier either, while another does. Where none does the group stays: there is nowhere better.
p constraint location kappa rule score=-1000 kappa-router ne 1 or not_defined kappa-router

install -m 644 "$draft" "$cib"
