# SPDX-License-Identifier: Apache-2.0
"""Packs what a bare GPU machine needs to run tools/measure_on_gpu: programs, their libraries, model, data, experiments, tools."""
import pathlib
import shutil
import subprocess
import tarfile

from run_folders import BadInput, write_json

HERE = pathlib.Path(__file__).resolve().parents[1]
LARGEST_PACK = 64 << 20
PROGRAMS = ("thermoe", "kernels_gpu_tests", "moe_gpu_tests", "machine_gpu_tests", "profile_gpu_tests")
PACKED_FOLDERS = ("model", "data", "experiments", "tools", "costs")  # costs/: where it was measured
# What every machine has that has LibTorch.
EVERYWHERE = ("ld-linux", "linux-vdso", "libc.", "libm.", "libstdc++.", "libgcc_s.", "librt.", "libdl.", "libpthread.", "libutil.")


def pack(out, programs, traces, jobs):
    """Writes OUT/thermoe-pack and its archive, of programs that are built first unless their folder is named."""
    built = programs or HERE / "build/cuda-release"
    if programs is None:
        if not (built / "CMakeCache.txt").exists():
            subprocess.run(["cmake", "--preset", "cuda-release"], cwd=HERE, check=True)
        subprocess.run(["cmake", "--build", built, "--parallel", str(jobs), "--target", *PROGRAMS], check=True)
    folder = out / "thermoe-pack"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("bin", "lib"):
        (folder / name).mkdir(parents=True)
    for name in PROGRAMS:
        program = find(built, name)
        subprocess.run(["strip", "-o", folder / "bin" / name, program], check=True)
        for library in missing_elsewhere(program):
            shutil.copy2(library, folder / "lib" / library.name)
    for path in git("ls-files", "-co", "--exclude-standard", *PACKED_FOLDERS).split():
        if (HERE / path).is_file():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(HERE / path, folder / path)
    for trace in traces:
        shutil.copy(trace, folder / "data/traces" / trace.name)
    commit = git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    write_json(folder / "pack.json", {"schema": 1, "commit": commit})
    archive = out / "thermoe-pack.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        tar.add(folder, folder.name)
    size = archive.stat().st_size
    print(f"{archive}: {size / 2**20:.1f} MiB, commit {commit}; libraries: "
          f"{', '.join(sorted(path.name for path in (folder / 'lib').iterdir())) or 'none'}")
    if size > LARGEST_PACK:
        largest = sorted(((path.stat().st_size, path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))
        words = ", ".join(f"{path} ({bytes_ / 2**20:.1f} MiB)" for bytes_, path in reversed(largest[-4:]))
        raise SystemExit(f"measure_on_gpu: {archive} is above {LARGEST_PACK >> 20} MiB; the largest files unpacked: {words}")
    return 0


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=HERE, check=True, capture_output=True, text=True).stdout.strip()


def find(folder, name):
    found = sorted(path for path in folder.rglob(name) if path.is_file())
    if not found:
        raise BadInput(f"no {name} under {folder}; build its target with the preset cuda-release")
    return found[0]


def missing_elsewhere(program):
    """Shared libraries of the program that a bare machine with LibTorch lacks."""
    lines = [line.split() for line in subprocess.run(["ldd", program], capture_output=True, text=True,
                                                     check=True).stdout.splitlines()]
    found = {words[0]: pathlib.Path(words[2]) for words in lines if len(words) > 2 and words[1] == "=>"}
    absent = [name for name, path in found.items() if str(path) == "not"]
    if absent:
        raise BadInput(f"{program} needs {absent[0]}, which is not on this machine either")
    # What lies beside LibTorch (its CUDA libraries too) comes with LibTorch.
    torch = [path.resolve().parents[2] for name, path in found.items() if name.startswith("libtorch_cpu.")]
    return [path.parent / name for name, path in found.items()
            if not name.startswith(EVERYWHERE) and not any(path.resolve().is_relative_to(place) for place in torch)]
