#!/usr/bin/env python3
"""What can be found without running the program: format, clang-tidy, gcc's analyzer, layers, banned calls, spelling, shell scripts.

Usage: check.py [--all] BUILD-DIRECTORY

Looks at what changed against the merge base with the upstream branch (without one, or on it: against the commit before), at
$BASE if set, or at everything with --all. Prints file:line: what; ends with 1 when something was found. Findings of gcc's analyzer
are printed as warnings and do not count: it is young where C's cleanup attributes are concerned.

What clang-tidy and the analyzer say of a file is kept in BUILD-DIRECTORY/check-cache by what the file is after preprocessing, so a
run that was interrupted goes on where it was, and a second one costs seconds.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
JOBS = int(os.environ.get("JOBS", "2"))
# Calls that the compiler's banned.h cannot poison, since system headers or a few places of ours need the names.
BANNED = {
    r"alloca": "the size of a stack frame is fixed: use malloc or an arena",
    r"v?fork": "children are started by process_spawn() of base/process.h",
    r"u?sleep": "no sleeps: wait for what is waited for, with a deadline",
    r"(?:mktemp|tmpnam|tempnam)": "use mkstemp or file_write_atomic()",
    r"signal": "use signalfd or sigaction",
    r"(?:strerror_l|asctime|ctime)": "not used here",
}
# Words that are right where they stand: abbreviations in test vectors and names of formats.
SPELLING = "inout,datas,reserv,optoins,te,fo,nd,nam,inflight,verson,ot,hist,ans,ro,sme,vie,fpr,iif,crate"


def run(*argv, **kw):
    return subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **kw)


def git(*argv):
    done = run("git", *argv)
    return done.stdout.split("\0") if done.returncode == 0 else []


def base_commit():
    if os.environ.get("BASE"):
        return os.environ["BASE"]
    upstream = run("git", "merge-base", "HEAD", "@{upstream}")
    head = run("git", "rev-parse", "HEAD").stdout.strip()
    if upstream.returncode == 0 and upstream.stdout.strip() != head:
        return upstream.stdout.strip()
    return "HEAD~1"


def files_to_check(everything, base):
    if everything:
        names = git("ls-files", "-z")
    else:
        names = git("diff", "-z", "--name-only", "--diff-filter=d", base)
    names += git("ls-files", "-z", "--others", "--exclude-standard")
    return sorted({n for n in names if n and (ROOT / n).is_file() and not n.startswith(("test/fuzz/corpus/", "test/fuzz/dict/"))})


def changed_lines(name, base):
    """clang-format's --lines options for the hunks of a file; none: the whole file (it is new)."""
    diff = run("git", "diff", "-U0", base, "--", name).stdout
    found = []
    for first, count in re.findall(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", diff, re.M):
        n = int(count or 1)
        if n > 0:
            found.append(f"--lines={first}:{int(first) + n - 1}")
    return found if diff else []


def relative(text):
    return re.sub(r"\S*?" + re.escape(str(ROOT)) + "/", "", text)


class Checker:
    def __init__(self, build, everything):
        self.build = build
        self.everything = everything
        self.base = base_commit()
        self.files = files_to_check(everything, self.base)
        self.failed = []
        self.told = set()
        self.commands = {}
        self.cache = None

    def some(self, *suffixes):
        return [n for n in self.files if n.endswith(suffixes)]

    def tell(self, lines):
        """Print what was not printed before (a header's warning comes with each file that includes it)."""
        for line in map(relative, lines):
            if line.strip() and line not in self.told:
                self.told.add(line)
                print(line, flush=True)

    def step(self, title, findings):
        """Print one step's outcome; @findings are lines."""
        self.tell(findings)
        count = len({relative(f) for f in findings if f.strip()})
        print(f"== {title}: {count or 'ok'}", flush=True)
        if findings:
            self.failed.append(title)

    def each(self, title, names, work):
        """Lines from work(name) for each name, JOBS at a time, told as they come, with progress on standard error."""
        lines = []
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            for n, found in enumerate(pool.map(work, names), 1):
                self.tell(found)
                lines += found
                if n % 10 == 0 or n == len(names):
                    print(f"   {title}: {n} of {len(names)} files", file=sys.stderr, flush=True)
        return lines

    def format(self):
        def one(name):
            lines = [] if self.everything else changed_lines(name, self.base)
            out = run("clang-format", "--dry-run", *lines, name).stdout
            found = [l for l in out.splitlines() if "warning:" in l or "error:" in l]
            places = list(dict.fromkeys(":".join(l.split(":")[:2]) + ": clang-format would write this line otherwise" for l in found))
            # A whole file is put in order by one command: its lines need no list.
            return places if lines or not places else [f"{places[0]} ({len(places)} such lines; clang-format -i {name})"]

        self.step("format", self.each("format", self.some(".c", ".h"), one))

    def banned(self):
        calls = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\((?!\)|\w+, SIG_IGN)")
        found = []
        for name in self.some(".c", ".h"):
            text = re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"', lambda m: re.sub(r"[^\n]", " ", m[0]), (ROOT / name).read_text(), flags=re.S)
            for number, line in enumerate(text.splitlines(), 1):
                for call in calls.finditer(line):
                    why = next(w for c, w in BANNED.items() if re.fullmatch(c, call[1]))
                    if name != "src/base/process.c" and "banned.h" not in name:
                        found.append(f"{name}:{number}: {call[1]}(): {why}")
        self.step("banned calls", found)

    def layers(self):
        done = run(sys.executable, "build-aux/check-layers.py", str(ROOT))
        self.step("layers", done.stdout.splitlines() if done.returncode else [])

    def spelling(self):
        names = [n for n in self.files if not n.endswith((".pb", ".proto")) and n != "LICENSE"]
        out = run("codespell", "-L", SPELLING, *names).stdout if names else ""
        self.step("spelling", [l for l in out.splitlines() if re.match(r"\S+:\d+: ", l)])

    def shell(self):
        names = self.some(".sh", ".bats", ".bash")
        # bats runs each test in a subshell of its own, words in single quotes are for the program tested, and what a suite sets is
        # used by the helpers that it sources.
        out = run("shellcheck", "-x", "-P", "SCRIPTDIR", "-f", "gcc", "-e", "SC2030,SC2031,SC2016,SC2012,SC2154,SC2034", *names).stdout if names else ""
        self.step("shellcheck", out.splitlines())

    def compile_commands(self):
        with open(self.build / "compile_commands.json", encoding="utf-8") as f:
            found = {}
            for entry in json.load(f):
                path = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
                if path.is_relative_to(ROOT):
                    found.setdefault(str(path.relative_to(ROOT)), entry)
            return found

    def words(self, name):
        """The compiler's command line for a file, without what it writes: -MD, -MQ and -MF with the word after them, -o."""
        words = shlex.split(self.commands[name]["command"])
        return [w for before, w in zip(["", *words], words)
                if not w.startswith(("-O", "-M")) and w != "-o" and before not in ("-MQ", "-MF", "-o")]

    def compile(self, name, *more):
        return subprocess.run([*self.words(name), *more], cwd=self.commands[name]["directory"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", check=False).stdout

    def cached(self, tool, settings, name, work):
        """work(name)'s lines, or those of an earlier run on the same text (comments too: NOLINT is one)."""
        text = self.compile(name, "-E", "-C")
        key = hashlib.sha256("\0".join([tool, settings, name, *self.words(name), text]).encode()).hexdigest()
        kept = self.cache / key
        if kept.exists():
            return kept.read_text().splitlines()
        lines = work(name)
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_text("".join(l + "\n" for l in lines))
        part.rename(kept)
        return lines

    def tidy(self, names):
        def one(name):
            # Paths through the code are followed where they matter: in what is shipped.
            less = [] if name.startswith("src/") else ["--checks=-clang-analyzer-*,-cert-err34-c"]
            out = run("clang-tidy", "--quiet", "-p", str(self.build), "--extra-arg=-Wno-unknown-warning-option", *less, name).stdout
            return [l for l in out.splitlines() if re.search(r":\d+: (warning|error): .*\[", l)]

        settings = (ROOT / ".clang-tidy").read_text()
        self.step("clang-tidy", self.each("clang-tidy", names, lambda name: self.cached("tidy", settings, name, one)))

    def analyzer(self, names):
        def one(name):
            out = self.compile(name, "-o", "/dev/null", "-O1", "-fanalyzer", "-fdiagnostics-plain-output")
            return [l for l in out.splitlines() if re.search(r": (warning|error): ", l)]

        found = self.each("analyzer", names, lambda name: self.cached("analyzer", "", name, one))
        lines = {relative(l) for l in found}
        errors = [l for l in lines if ": error: " in l]
        print(f"== gcc's analyzer: {len(lines) - len(errors)} warnings", flush=True)
        if errors:
            self.failed.append("compiler")

    def sources(self):
        self.commands = self.compile_commands()
        self.cache = self.build / "check-cache"
        self.cache.mkdir(exist_ok=True)
        names = [n for n in self.some(".c") if n in self.commands]
        self.tidy(names)
        self.analyzer([n for n in names if n.startswith("src/")])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every file, not only what changed")
    parser.add_argument("build", type=pathlib.Path)
    args = parser.parse_args()
    checker = Checker(args.build.resolve(), args.all)
    print(f"{len(checker.files)} files {'in all' if args.all else 'changed since ' + checker.base}")
    for step in (checker.layers, checker.format, checker.banned, checker.spelling, checker.shell, checker.sources):
        step()
    print("check: nothing found" if not checker.failed else "check: found something: " + ", ".join(checker.failed))
    return 1 if checker.failed else 0


if __name__ == "__main__":
    sys.exit(main())
