"""What tools/gpu_check takes to a machine that can build nothing: programs, the libraries they need
and that are not everywhere, golden files, scripts."""

import glob
import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from gpu.running import Programs, Unusable

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "release"
LIMIT_MIB = 60
MANIFEST = "pack.json"
GOLDEN = ["models", "gguf"]
SCRIPTS = ["gpu_check", "gpu/running.py", "gpu/packing.py", "gpu/parity.py", "gpu/checks.py",
           "gpu/figures.py", "gpu/table.py", "gpu/time_transformers.py"]

# The C library must be the machine's own; the driver's library belongs to its driver.
SYSTEM = re.compile(
    r"(linux-vdso|ld-linux.*|lib(c|m|pthread|dl|rt|resolv|util|cuda|nvidia-ml))\.so.*")
# Used only where the machine's own is missing or too old.
FALLBACK = re.compile(r"lib(stdc\+\+|gcc_s|gomp)\.so.*")
# Too large to take along; comes with the CUDA Toolkit and with PyTorch.
TOOLKIT = re.compile(r"lib(cublas|cublasLt|cudart|nvrtc|nvJitLink)\.so.*")


def kind_of(library):
    for kind, pattern in (("system", SYSTEM), ("fallback", FALLBACK), ("toolkit", TOOLKIT)):
        if pattern.fullmatch(library):
            return kind
    return "taken"


def read_ldd(text):
    """{library: path or None where it was not found}"""
    found = {}
    for line in text.splitlines():
        match = re.match(r"\s*(\S+) => (not found|/\S+)", line)
        if match:
            found[match.group(1)] = None if match.group(2) == "not found" else match.group(2)
    return found


def libraries_of(programs):
    """[(kind, library, path)] of all, without those of the system."""
    found = {}
    for program in programs:
        done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
        found |= read_ldd(done.stdout)
    missing = [name for name, path in found.items()
               if path is None and kind_of(name) in ("taken", "fallback")]
    if missing:
        raise Unusable(f"libraries not found: {', '.join(missing)}")
    return [(kind_of(name), name, path) for name, path in sorted(found.items())
            if kind_of(name) != "system"]


def run_tool(command):
    print("$ " + " ".join(command), file=sys.stderr, flush=True)
    if subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False).returncode != 0:
        raise Unusable(f"{command[0]} failed")


def build(device, jobs):
    run_tool(["cmake", "--preset", "release",
              *(["-DKRAIT_CUDA=ON"] if device.startswith("cuda") else [])])
    listed = subprocess.run(["cmake", "--build", "--preset", "release", "--target", "help"],
                            cwd=ROOT, capture_output=True, text=True, check=False).stdout
    known = {line.split(":")[0].strip() for line in listed.splitlines()}
    wanted = [t for t in ("krait", "make_checkpoint", "gpu_micro_costs", "test_gpu") if t in known]
    run_tool(["cmake", "--build", "--preset", "release", "-j", str(jobs), "--target", *wanted])


def version_of(krait, library_path=()):
    environment = dict(os.environ)
    if library_path:
        environment["LD_LIBRARY_PATH"] = ":".join(library_path)
    done = subprocess.run([krait, "--version"], capture_output=True, text=True, env=environment,
                          check=False)
    return done.stdout.strip().removeprefix("krait ") if done.returncode == 0 else None, done.stderr


def described(version):
    """With the commit of this checkout, where it is one."""
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
                          capture_output=True, text=True, check=False)
    return f"{version}, {done.stdout.strip()}" if done.returncode == 0 else version


def built_programs():
    """Those of build/release."""
    krait, maker = BUILD / "krait", BUILD / "tools" / "make_checkpoint"
    for program in (krait, maker):
        if not program.is_file():
            raise Unusable(f"{program}: not built")
    micro = BUILD / "tools" / "gpu_micro_costs"
    version, error = version_of(str(krait))
    if version is None:
        raise Unusable(f"{krait} does not start: {error.strip()}")
    return Programs(str(krait), str(maker), str(micro) if micro.is_file() else "",
                    tests=[p for p in sorted(glob.glob(str(BUILD / "tests" / "test_gpu*")))
                           if os.path.isfile(p) and os.access(p, os.X_OK)],
                    golden=str(ROOT / "tests" / "golden"), version=described(version),
                    peers_script=str(ROOT / "tools" / "gpu" / "time_transformers.py"))


# ---- packing --------------------------------------------------------------------------------
def empty_folder(folder):
    """Makes it, or empties one that was packed before."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MANIFEST).exists():
            raise Unusable(f"{folder}: is not empty, and not a pack of before")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)


def copy_program(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    if shutil.which("strip"):  # symbols are most of a test program
        subprocess.run(["strip", "-s", str(target)], check=False, capture_output=True)


def size_mib(folder):
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 2**20


def check_size(folder):
    size = size_mib(folder)
    if size > LIMIT_MIB:
        largest = sorted((f for f in folder.rglob("*") if f.is_file()),
                         key=lambda f: -f.stat().st_size)[:5]
        names = ", ".join(f"{f.relative_to(folder)} {f.stat().st_size / 2**20:.1f}"
                          for f in largest)
        raise Unusable(f"{folder}: {size:.1f} MiB, expected at most {LIMIT_MIB}; largest: {names}")
    return size


def pack(folder):
    programs = built_programs()
    folder = Path(folder)
    empty_folder(folder)
    (folder / MANIFEST).write_text("{}")  # so that a pack that failed half-way can be made again
    binaries = [p for p in (programs.krait, programs.make_checkpoint, programs.micro_costs,
                            *programs.tests) if p]
    for program in binaries:
        copy_program(program, folder / "bin" / Path(program).name)
    expected = []
    for kind, name, path in libraries_of(binaries):
        if kind == "toolkit":
            expected.append(name)
            continue
        target = folder / ("lib" if kind == "taken" else "lib-fallback") / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(os.path.realpath(path), target)
    for part in GOLDEN:
        shutil.copytree(ROOT / "tests" / "golden" / part, folder / "golden" / part)
    for script in SCRIPTS:
        target = folder / "tools" / script
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tools" / script, target)
    manifest = {"krait": programs.version, "glibc": platform.libc_ver()[1],
                "tests": [Path(p).name for p in programs.tests], "toolkit_libraries": expected}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return check_size(folder), manifest


# ---- unpacked -------------------------------------------------------------------------------
def toolkit_folders(libraries, places=None):
    """Where the CUDA libraries that are not in the pack lie on this machine."""
    if places is None:
        places = ["/usr/local/cuda/lib64", "/usr/local/cuda/targets/x86_64-linux/lib",
                  *sorted(glob.glob("/usr/local/cuda-*/lib64"))]
        for path in sys.path:
            places += sorted(glob.glob(os.path.join(path, "nvidia", "*", "lib")))
    found = []
    for library in libraries:
        for place in places:
            if os.path.exists(os.path.join(place, library)):
                if place not in found:
                    found.append(place)
                break
        else:
            raise Unusable(f"{library}: not on this machine (looked in {', '.join(places)})")
    return found


def version_tuple(text):
    return tuple(int(part) for part in re.findall(r"\d+", text))


def packed_programs(folder):
    """Those of a pack, with the libraries they start with here."""
    folder = Path(folder).resolve()
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        built_for, tests = manifest["glibc"], manifest["tests"]
    except (OSError, ValueError, KeyError) as error:
        raise Unusable(f"{folder}: not a pack of tools/gpu_check ({error!r})") from error
    here = platform.libc_ver()[1]
    if here and version_tuple(here) < version_tuple(built_for):
        raise Unusable(f"packed on a system with glibc {built_for}, newer than this one's, {here}")
    binaries = folder / "bin"
    for program in binaries.iterdir():
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    toolkit = toolkit_folders(manifest.get("toolkit_libraries", []))
    krait = str(binaries / "krait")
    for extra in ([], [str(folder / "lib-fallback")]):
        path = [str(folder / "lib"), *extra, *toolkit]
        version, error = version_of(krait, path)
        if version is not None:
            break
    else:
        raise Unusable(f"{krait} does not start: {error.strip()}")
    micro = binaries / "gpu_micro_costs"
    return Programs(krait, str(binaries / "make_checkpoint"), str(micro) if micro.exists() else "",
                    tests=[str(binaries / name) for name in tests], library_path=path,
                    golden=str(folder / "golden"), version=manifest["krait"],
                    peers_script=str(folder / "tools" / "gpu" / "time_transformers.py"))
