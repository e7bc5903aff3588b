"""What apt-get fetched from Debian is a kernel and a busybox for arm64."""

import shutil
import subprocess

import pytest

from tests.unit.vmm.linux.unpack import unpack
from vmm.linux.fetch import plain_image
from vmm.linux.images import Images
from vmm.linux.initramfs import NO_SLEEP

ELF_AARCH64 = 183
POWERED_OFF = ("Run /init as init process", "vgic: user space: Linux", "vgic: power off", "reboot: Power down")


def test_the_kernel_is_debians(linux_images: Images) -> None:
    assert linux_images.version.endswith("-cloud-arm64")
    image = linux_images.kernel.read_bytes()
    assert plain_image(image) == image
    assert f"Linux version {linux_images.version} ".encode() in image


def test_busybox_is_a_static_arm64_program(linux_images: Images) -> None:
    busybox = unpack(linux_images.initrd.read_bytes())["bin/busybox"].content
    assert busybox[:4] == b"\x7fELF"
    assert int.from_bytes(busybox[18:20], "little") == ELF_AARCH64
    assert b"/lib/ld-linux-aarch64" not in busybox


@pytest.mark.parametrize("cpus", [1, 4], ids="{} vCPUs".format)
def test_the_images_boot_in_qemu(linux_images: Images, cpus: int) -> None:
    """Another machine than ours runs the guest to its end: what fails elsewhere is not the images' fault."""
    qemu = shutil.which("qemu-system-aarch64")
    if qemu is None:
        pytest.skip("qemu-system-aarch64 is not installed")
    machine = ["-M", "virt,gic-version=3", "-accel", "tcg", "-cpu", "max,pauth=off", "-smp", str(cpus), "-m", "512"]
    files = ["-kernel", str(linux_images.kernel), "-initrd", str(linux_images.initrd)]
    params = ["-append", linux_images.with_params(NO_SLEEP).params]
    ran = subprocess.run(
        [qemu, *machine, *files, *params, "-nographic", "-no-reboot", "-net", "none"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
        check=False,
    )
    at = 0
    for line in POWERED_OFF:
        at = ran.stdout.find(line, at)
        assert at >= 0, f"no {line!r} in its place:\n{ran.stdout[-3000:]}{ran.stderr}"
    assert f", {cpus} CPUs" in ran.stdout
    assert ("vgic: cpu1 up, online 0-3" in ran.stdout) == (cpus > 1)
