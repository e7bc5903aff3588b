#!/bin/sh
# The guest's user space: say what there is, take a CPU down and up, sleep, power off.
# Words on the kernel's command line:
#   vgic.nosleep  do not sleep
#   vgic.shell    a shell on the console before the power goes off
# Every line that a test looks for begins with "vgic:".

export PATH=/bin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec 0</dev/console 1>/dev/console 2>&1

say() { echo "vgic: $*"; }

asked() {
    for word in $(cat /proc/cmdline); do
        [ "$word" = "$1" ] && return 0
    done
    return 1
}

interrupts() {
    say "interrupts $1"
    cat /proc/interrupts
}

cpu() { # cpu NAME 0|1: takes it down or up, says which are online then
    if echo "$2" >"/sys/devices/system/cpu/$1/online"; then
        say "$1 $([ "$2" = 1 ] && echo up || echo down), online $(cat /sys/devices/system/cpu/online)"
    else
        say "$1 failed to go $([ "$2" = 1 ] && echo up || echo down)"
    fi
}

say "user space: $(uname -srm), $(nproc) CPUs"
interrupts "at first"
if [ -e /sys/devices/system/cpu/cpu1/online ]; then
    cpu cpu1 0
    cpu cpu1 1
fi
if ! asked vgic.nosleep; then
    before=$(cut -d' ' -f1 /proc/uptime)
    sleep 1
    say "slept 1 second, uptime $before to $(cut -d' ' -f1 /proc/uptime)"
fi
interrupts "at last"
if asked vgic.shell; then
    say "shell; leave it to power off"
    setsid -c sh
fi
say "power off"
poweroff -f
