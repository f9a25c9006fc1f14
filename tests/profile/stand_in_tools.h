// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <string>

#include "core/program_search.h"
#include "scratch_file.h"

namespace thermoe {

/// Programs by the names nsys and ncu in a folder of the test's own, which behave as the real ones
/// were seen to (docs/profile-tools.md): they run the child, hand its exit code on and leave files.
/// What they record is what the test wrote before; the report and its export are one file.
class StandInTools {
 public:
  explicit StandInTools(const ScratchFolder& folder) : folder_(folder) {
    std::filesystem::create_directory(folder / "bin");
    places.path = {folder / "bin"};
    places.environment = {"PATH=/usr/bin:/bin", "LC_ALL=C"};
  }

  ProgramPlaces places{};

  /// A shell script that may be executed; returns its path.
  std::string program(const std::string& name, const std::string& script) const {
    const std::string path = folder_.write("bin/" + name, "#!/bin/sh\n" + script);
    ::chmod(path.c_str(), 0755);
    return path;
  }

  /// nsys that records the file `recorded`. `after` is run once the child has ended, before the
  /// report is written.
  std::string nsys(const std::string& recorded, const std::string& after = ":") const {
    return program("nsys", R"sh(
case "$1 $2" in
  "--version ") echo "NVIDIA Nsight Systems version 2024.5.1.113-245134619542v0"; exit ;;
  "export --help") echo "  -t, --type=  arrow, hdf, json, sqlite, text"; exit ;;
  "profile --gpu-metrics-devices=help")
    echo "Possible --gpu-metrics-devices values are:"
    echo "	0: NVIDIA H100 PCI[0000:17:00.0]"
    echo "	all: Select all supported GPUs"
    echo "	none: Disable GPU Metrics [Default]"
    exit ;;
esac
command=$1
shift
while [ "${1#-}" != "$1" ]; do
  case "$1" in --output=*) out=${1#--output=} ;; esac
  shift
done
if [ $command = export ]; then )sh" +
                               export_ +
                               R"sh(; fi
finish() { kill $child; wait $child; cp )sh" +
                               recorded + R"sh( "$out.nsys-rep"; exit 143; }
trap 'asked=1; [ -z "$child" ] || finish' TERM INT  # it may come before we know the child
"$@" &
child=$!
[ -z "$asked" ] || finish
wait $child
code=$?
)sh" + after + R"sh(
cp )sh" + recorded + R"sh( "$out.nsys-rep"
exit $code
)sh");
  }
  /// What `nsys export` does, with the report in $1 and the place of the export in $out.
  void set_export(const std::string& script) { export_ = script; }

  /// ncu that prints the file `csv` for each page of a report. `after` as above.
  std::string ncu(const std::string& csv, const std::string& after = ":") const {
    return program("ncu", R"sh(
case "$1" in
  --version)
    echo "NVIDIA (R) Nsight Compute Command Line Profiler"
    echo "Copyright (c) 2018-2025 NVIDIA Corporation"
    echo "Version 2025.3.1.0 (build 36398880) (public-release)"
    exit ;;
  --import) [ "$LC_ALL" = C ] && cat )sh" +
                              csv +
                              R"sh(; exit ;;
esac
while [ "${1#-}" != "$1" ]; do
  case "$1" in
    --nvtx | --force-overwrite) shift ;;
    --export) out=$2; shift 2 ;;
    *) shift 2 ;;
  esac
done
"$@"
code=$?
[ $code = 0 ] || echo "==ERROR== The application returned an error code ($code)." >&2
)sh" + after + R"sh(
echo report > "$out.ncu-rep"
[ $code = 0 ]
)sh");
  }

 private:
  const ScratchFolder& folder_;
  std::string export_ = "cp \"$1\" \"$out\"; exit";
};

}  // namespace thermoe
