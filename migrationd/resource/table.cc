// SPDX-License-Identifier: GPL-2.0-or-later
// The table of all parameters: first those of every resource, then what moves a domain, then what this agent adds and what is
// done beside the domain, and at the end those of ours and of ocf:heartbeat:Xen that are known by name but not implemented yet.
#include "migrationd/resource/table.h"

#include <array>

namespace migrationd::resource {

namespace {

constexpr std::string_view xl_files = "native Xen configuration files";
constexpr std::string_view ballooning = "the memory management of Xen hosts";

constexpr auto rows = std::to_array<Row>({
    {.name = "config", .required = true, .reloadable = false, .unique = true,
     .short_text = "File with the domain's libvirt XML",
     .long_text = "Absolute path of the file that holds the domain's definition as libvirt XML. It is parsed as XML: the "
                  "domain's name and UUID come from it, however it is laid out. It needs to be on one node only: the "
                  "daemons keep what it defines on the others. It may be libvirt's own of a defined domain: migrations leave definitions as they are."},
    {.name = "name", .reloadable = false, .unique = true,
     .short_text = "Name of the domain",
     .long_text = "Name of the domain. Needed only when it can't be taken from the file, for example because the file is "
                  "on a storage that isn't always there. It must be the name that the file gives."},
    {.name = "hypervisor", .preset = "qemu:///system", .reloadable = false,
     .short_text = "libvirt URI of the local hypervisor",
     .long_text = "The URI under which libvirt reaches the hypervisor of this node, such as qemu:///system or "
                  "xen:///system."},
    {.name = "force_stop", .type = Type::boolean, .preset = "0",
     .short_text = "Stop without asking the guest",
     .long_text = "Switches the domain off at once when it is really stopped, without asking the guest to shut down "
                  "first. Only for guests that can't shut down by themselves. A move is not a stop and stays a live "
                  "migration."},
    {.name = "shutdown_mode",
     .short_text = "How the guest is asked to shut down",
     .long_text = "How the guest is asked to shut down: one or more, separated by commas, of acpi, agent, initctl, "
                  "signal and paravirt. Empty: what libvirt finds best."},
    {.name = "shutdown_timeout", .type = Type::duration,
     .short_text = "How long the guest may take to shut down",
     .long_text = "How long a guest that was asked to shut down may take before it is switched off; 0 switches it off at "
                  "once. Empty, or longer than the stop action's timeout allows: that timeout, less 15 seconds to switch "
                  "it off and a twentieth (2 seconds at least) for the answer, but at least about half of it; without the "
                  "daemon two thirds of it. Where the action has none, as under Heartbeat, three minutes are taken for it."},

    {.name = "migration_transport", .type = Type::choice, .choices = "|migrationd|ssh|tls|tcp",
     .short_text = "How a migration reaches the other node",
     .long_text = "How a migration reaches the other node. migrationd: through the daemons' own encrypted connection; neither "
                  "a key for ssh nor a port of libvirt or QEMU is needed (QEMU only). ssh, tls, tcp: libvirt's own. Empty: migrationd, "
                  "unless migration_user, migration_network_suffix, migrateuri, migrateport, remoteuri or a word of "
                  "migrate_options (tls, tunnelled, listen-address, disks-port, disks-uri, rdma-pin-all) names a way of "
                  "libvirt's, or the hypervisor is not qemu:///system; then libvirt's default, which is tls."},
    {.name = "migration_user",
     .short_text = "User name for the connection to the other node",
     .long_text = "User name for the connection to the libvirt of the other node. Empty: none is given, which means root. "
                  "Has no effect together with remoteuri."},
    {.name = "migration_downtime", .type = Type::integer, .preset = "0",
     .short_text = "Target of the switchover in milliseconds",
     .long_text = "How long the guest may stand still at the end of a live migration, in milliseconds. It is a limit: an "
                  "idle guest stands still for less, and only one that does not converge gets all of it. 0: 300, as "
                  "libvirt has it."},
    {.name = "migration_speed", .type = Type::integer, .preset = "0",
     .short_text = "Bandwidth limit of a migration in MiB/s",
     .long_text = "The largest bandwidth that a migration of this domain uses, in MiB/s. 0: no limit."},
    {.name = "priority", .type = Type::integer, .only_in_file = true,
     .short_text = "Who leaves first",
     .long_text = "Where not all domains of a node can leave it at once, those of a larger priority go first. Only in a resource's "
                  "file: under Pacemaker it is the resource's meta attribute priority."},
    {.name = "migration_network_suffix",
     .short_text = "Suffix of the node's name in the migration network",
     .long_text = "Is appended to the node's name, before its first dot, to get the name under which the node is known in "
                  "a network of its own for migrations: with -mig, node2.example.org is reached as "
                  "node2-mig.example.org. That name must resolve on every node. With migration_transport=migrationd the "
                  "daemon there must listen on that address (listen in migrationd.conf)."},
    {.name = "migrateuri",
     .short_text = "URI for the guest's memory",
     .long_text = "The URI to which the guest's memory is sent, such as tcp://%n:49152, when the computed one doesn't "
                  "suit. %n stands for the name of the destination, with migration_network_suffix if that is set and "
                  "remoteuri is not. migrateport and a --migrateuri in migrate_options then have no effect."},
    {.name = "remoteuri",
     .short_text = "libvirt URI of the other node",
     .long_text = "The URI under which the libvirt of the destination is reached, when the computed one doesn't suit. %n "
                  "stands for the name of the destination. migration_transport, migration_user and "
                  "migration_network_suffix then have no effect on it."},
    {.name = "migrateport", .type = Type::integer,
     .short_text = "Port for the guest's memory",
     .long_text = "The port of the computed migration URI; used only together with migration_network_suffix. Empty: "
                  "libvirt chooses a free one."},
    {.name = "migrate_options",
     .short_text = "Further options of a migration",
     .long_text = "Further options, as virsh migrate spells them, separated by spaces, such as --auto-converge. Options "
                  "that contradict the way in which migrationd moves a domain are refused. --migrateuri=URI has the "
                  "meaning of migrateuri where that isn't set."},

    {.name = "auto_converge", .type = Type::boolean, .preset = "yes",
     .short_text = "Whether a busy guest may be slowed to be moved",
     .long_text = "Whether QEMU may slow the processors of a guest during its migration when it writes to more than half of "
                  "the memory that the network carries meanwhile: by 20 percent at first (50 where the action has less than "
                  "100 seconds), then more, up to 99. Without it such a guest may not be movable in time."},
    {.name = "handoff", .type = Type::choice, .preset = "auto", .choices = "auto|off",
     .short_text = "Whether a stop may become a live migration",
     .long_text = "auto: a stop that is half of a move becomes a live migration, any other stops the domain. off: "
                  "a stop always stops."},
    {.name = "handoff_timeout", .type = Type::duration, .preset = "120s",
     .short_text = "How long a domain waits to be fetched",
     .long_text = "How long a domain that was stopped for a move keeps running to be fetched by its next node. After that "
                  "it is really stopped."},
    {.name = "start_timeout", .type = Type::duration, .preset = "90s",
     .short_text = "Longest time of a start without a time of its own",
     .long_text = "How long a start tries when the cluster manager gives it no timeout, as Heartbeat and init scripts do."},
    {.name = "unfenced", .type = Type::choice, .preset = "refuse", .choices = "refuse|membership",
     .short_text = "What to do about a silent node without fencing",
     .long_text = "refuse: without fencing a node that is silent may still run the domain, so a start fails and says so. "
                  "membership: the loss of its membership is taken for proof. That holds when a node crashed, but not "
                  "when the cluster was cut in two: then the domain may run twice and destroy its disks."},

    {.name = "monitor_scripts",
     .short_text = "Programs that check the guest's services",
     .long_text = "Programs, separated by spaces, that say whether the services inside the guest are well. While the domain "
                  "runs, monitor runs one after another, and fails with what it said when one doesn't end with 0. A start "
                  "waits until all of them succeed, as long as its timeout allows. Init scripts and Heartbeat don't run them."},

    {.name = "on_incompatible", .type = Type::choice, .preset = "fail", .choices = "fail|restart",
     .short_text = "What to do when a node can't take the running guest",
     .long_text = "What a migration does when the destination can't take the guest as it runs, because of its CPU or machine type. "
                  "fail: the migration fails, and the guest runs on. restart: where the guest can be booted there from its definition, "
                  "it is stopped here and booted there; the migration succeeds."},
    {.name = "on_poweroff", .type = Type::choice, .preset = "restart", .choices = "restart|stay-off",
     .short_text = "What to do when the guest was powered off",
     .long_text = "What to do when the guest was powered off from inside, or by an administrator with virsh (shutdown, destroy), and not by the "
                  "cluster. restart: that is a failure as any other, and the cluster manager, told of it at once, starts the guest again. "
                  "stay-off: it stays off; under Pacemaker the resource is set to target-role=Stopped, so that nothing starts it until you "
                  "do. A guest that crashes, or whose emulator is killed, is started again in any case. Needs the daemon."},
    {.name = "start_resources", .type = Type::boolean, .preset = "false",
     .short_text = "Start libvirt's pools and networks first",
     .long_text = "Start the libvirt storage pools and networks that the domain's definition names and that are not active, before "
                  "the domain is started on a node, and at the destination before it is moved there. Pools that are active look for "
                  "volumes that came since. One that can't be started fails the start, or the migration before it begins."},
    {.name = "autoset_utilization_cpu", .type = Type::boolean, .preset = "true",
     .short_text = "Set the utilization attribute cpu",
     .long_text = "Keep the resource's utilization attribute cpu at the number of the domain's virtual CPUs, under Pacemaker: while "
                  "the domain runs, whatever changes the one or the other, within a minute or so. No action waits for it."},
    {.name = "autoset_utilization_host_memory", .type = Type::boolean, .preset = "true",
     .short_text = "Set the utilization attribute host_memory",
     .long_text = "Keep the resource's utilization attribute host_memory at the domain's maximum memory in MiB, under Pacemaker: while "
                  "the domain runs, whatever changes the one or the other, within a minute or so. No action waits for it."},
    {.name = "autoset_utilization_hv_memory", .type = Type::boolean, .preset = "true",
     .short_text = "Set the utilization attribute hv_memory",
     .long_text = "Keep the resource's utilization attribute hv_memory at the domain's maximum memory in MiB, under Pacemaker: while "
                  "the domain runs, whatever changes the one or the other, within a minute or so. No action waits for it."},
    {.name = "unset_utilization_cpu", .type = Type::boolean, .preset = "false",
     .short_text = "Remove the utilization attribute cpu",
     .long_text = "Remove the resource's utilization attribute cpu while the domain runs. Counts only with "
                  "autoset_utilization_cpu=false."},
    {.name = "unset_utilization_host_memory", .type = Type::boolean, .preset = "false",
     .short_text = "Remove the utilization attribute host_memory",
     .long_text = "Remove the resource's utilization attribute host_memory while the domain runs. Counts only with "
                  "autoset_utilization_host_memory=false."},
    {.name = "unset_utilization_hv_memory", .type = Type::boolean, .preset = "false",
     .short_text = "Remove the utilization attribute hv_memory",
     .long_text = "Remove the resource's utilization attribute hv_memory while the domain runs. Counts only with "
                  "autoset_utilization_hv_memory=false."},
    {.name = "backingfile",
     .short_text = "Image that the domain's disk is made of",
     .long_text = "Absolute path of an image on top of which a boot makes the domain's copy-on-write disk, if that is not there. The disk "
                  "is a qcow2 image beside the file of config: its path up to the first dot in its name, and .qcow2. The definition must "
                  "have it as a disk. The image itself stays as it is. Needs qemu-img. For a live migration both must be on shared storage."},
    {.name = "stateless", .type = Type::boolean, .preset = "false",
     .short_text = "Make the disk anew at each boot",
     .long_text = "Make the copy-on-write disk anew from backingfile at each boot. A live migration is none."},
    {.name = "copyindirs",
     .short_text = "Directories to copy into a new disk",
     .long_text = "Directories and files, absolute paths separated by spaces, that are copied into the root of a disk that was made "
                  "anew, before the guest boots. Needs virt-copy-in (libguestfs-tools); the start's timeout must allow for it."},
    {.name = "save_config_on_stop", .type = Type::boolean, .preset = "false",
     .short_text = "Write the running definition to the file",
     .long_text = "Write the definition of the domain, as it would be started next and with its passwords, back to the file that config "
                  "names: before it is stopped or moved, and about every minute while it runs. Only where it differs, as a whole, with "
                  "the owner and mode that the file has; never when the file can't be read or is not the same domain's."},
    {.name = "sync_config_on_stop", .type = Type::boolean, .preset = "false",
     .short_text = "Write the running definition to the file on all nodes",
     .long_text = "As save_config_on_stop, and the other nodes write it to their files, too. It goes over the daemons' own connection; "
                  "csync2 is not needed. A node takes it only under Pacemaker, for a resource with this parameter in the cluster's "
                  "configuration, for the file that config names there, and for the same domain; one that differs in more than what is the guest's "
                  "alone, such as in its disks, is left to be copied by hand. A node that is away gets it when it is back."},

    {.name = "postcopy", .type = Type::boolean, .preset = "no",
     .short_text = "Consent to post-copy migration",
     .long_text = "Consent to post-copy: a guest that writes to its memory faster than the network carries it goes on at the destination all the "
                  "same, which fetches the rest of its memory from the source. Until it has all of it the guest is lost when either node, either "
                  "daemon or the network between them fails; then it is booted anew. It is not slowed down before that (see auto_converge). Only "
                  "with migration_transport=migrationd, and not with several streams (--parallel). QEMU must be allowed to use userfaultfd on "
                  "the nodes (sysctl vm.unprivileged_userfaultfd=1); to one where it is not the domain is migrated without."},
    {.name = "snapshot", .comes_with = "the snapshots",
     .short_text = "Directory for the memory of a stopped domain",
     .long_text = "Directory to which the memory of a domain is saved when it is stopped, and from which it is taken "
                  "when it is started."},
    {.name = "xmfile", .reloadable = false, .comes_with = xl_files,
     .short_text = "Native Xen configuration file",
     .long_text = "Absolute path of the domain's configuration file in the format of xl. Use config with libvirt XML "
                  "(virsh -c xen:///system domxml-from-native xen-xl FILE)."},
    {.name = "shutdown_acpi", .type = Type::boolean, .preset = "0", .comes_with = xl_files,
     .short_text = "Press the guest's power button",
     .long_text = "Shut the guest down by its ACPI power button. Use shutdown_mode=acpi."},
    {.name = "allow_mem_management", .type = Type::boolean, .preset = "0", .comes_with = ballooning,
     .short_text = "Adjust the memory of the Xen host",
     .long_text = "Adjust the memory of the host and of the other domains when this one starts or stops."},
    {.name = "reserved_Dom0_memory", .type = Type::integer, .preset = "512", .comes_with = ballooning,
     .short_text = "Memory kept for the Xen host in MiB",
     .long_text = "How much memory the host keeps, in MiB. Has no effect without allow_mem_management."},
    {.name = "node_ip_attribute", .comes_with = xl_files,
     .short_text = "Node attribute with the address for migrations",
     .long_text = "Name of the node attribute that holds the address to which a domain migrates. Use "
                  "migration_network_suffix or migrateuri."},
});

}  // namespace

std::span<const Row> table() { return rows; }

const Row* find_row(std::string_view name) {
  for (const Row& row : rows)
    if (row.name == name) return &row;
  return nullptr;
}

}  // namespace migrationd::resource
