"""Repositories made by git at random: rules of every kind, tracked and deleted files, and every form of the index."""

import os
import random
import subprocess
from pathlib import Path

NAMES = [
    "a",
    "b",
    "c",
    "ab",
    "a.c",
    "b.c",
    "x.o",
    "build",
    "src",
    "a b",
    "#b",
    "!a",
    "c]",
    "[a",
    "-",
    "é",
    "tab\t",
    "B",
]
ATOMS = ["a", "b", "c", ".c", "x.o", "build", "src", "/", "/", "*", "**", "?", "[ab]", "[!a]", "[a-c]", "\\a", "\\#b"]
MAX_FILES = 40


def run_git(folder: Path, *words: str, check: bool = True) -> bytes:
    """Run git with the configuration that the environment names."""
    options = ["-c", "core.fsmonitor=false", "-c", "safe.directory=*", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *options, *words], cwd=folder, check=check, capture_output=True, timeout=60)
    return done.stdout


def regular_files_of_git(folder: Path) -> list[str]:
    """What `git ls-files` lists below a folder, without links, submodules and what is not on disk."""
    listed = run_git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split(b"\0")
    names = {os.fsdecode(name) for name in listed if name and not name.endswith(b"/")}
    return sorted(name for name in names if is_regular(folder, name))


def is_regular(folder: Path, name: str) -> bool:
    """Whether a path leads to a regular file without following a link."""
    path = folder / name
    if any(parent.is_symlink() for parent in path.parents if parent.is_relative_to(folder)):
        return False
    return path.is_file() and not path.is_symlink()


class RepositoryMaker:
    """Makes one repository; everything random is a function of the seed."""

    def __init__(self, root: Path, seed: int) -> None:
        self.random, self.root, self.repository = random.Random(seed), root, root / "repository"
        self.home = root / "home"

    def make(self) -> Path:
        """Make it, and return a folder in it (or in a linked work tree) to be listed."""
        rng = self.random
        for folder in (self.home, self.repository):
            folder.mkdir(parents=True)
        sha256 = ["--object-format=sha256"] if rng.random() < 0.15 else []
        run_git(self.repository, "init", "-q", *sha256, ".")
        for name, value in (("user.name", "a"), ("user.email", "a@example.org"), ("core.symlinks", "true")):
            run_git(self.repository, "config", name, value)
        self.write_files(self.repository)
        self.write_rules()
        self.track()
        work_tree = self.repository
        if rng.random() < 0.25:
            work_tree = self.commit_and_move(sha256)
        self.change(work_tree)
        folders = [path for path in work_tree.rglob("*") if self.is_folder_to_list(work_tree, path)]
        return rng.choice(sorted(folders)) if folders and rng.random() < 0.35 else work_tree

    def is_folder_to_list(self, work_tree: Path, path: Path) -> bool:
        """Whether a path is a directory of this repository, not of a nested one or of an empty submodule."""
        inside = path.relative_to(work_tree).parts
        if path.is_symlink() or not path.is_dir() or ".git" in inside or inside[0] == "module":
            return False
        folders = [folder for folder in (path, *path.parents) if folder.is_relative_to(work_tree)]
        return not any((folder / ".git").exists() for folder in folders if folder != work_tree)

    def write_files(self, folder: Path) -> None:
        """Files at random paths up to four levels deep, and links."""
        rng = self.random
        for _ in range(rng.randrange(8, MAX_FILES)):
            path = folder.joinpath(*rng.choices(NAMES, k=rng.randrange(1, 5)))
            if any(parent.is_file() or parent.is_symlink() for parent in (path, *path.parents)) or path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if rng.random() < 0.05:
                path.symlink_to(rng.choice(["a", "/etc/passwd", "nowhere", "."]))
            else:
                path.write_text("x\n")

    def pattern(self) -> str:
        """A line of rules: atoms at random, or a path that exists."""
        rng = self.random
        if rng.random() < 0.4:
            path = rng.choice(sorted(self.repository.rglob("*"))).relative_to(self.repository).as_posix()
            parts = path.split("/")
            text = rng.choice([path, "/" + path, parts[-1], "/".join(parts[:-1]) or parts[0], parts[0] + "/*"])
        else:
            text = "".join(rng.choices(ATOMS, k=rng.randrange(1, 5)))
        return rng.choice(["", "", "", "!", "/"]) + text + rng.choice(["", "", "", "/", " ", "\r", "/**"])

    def rules(self) -> str:
        """A file of up to six lines."""
        return "\n".join(self.pattern() for _ in range(self.random.randrange(6))) + self.random.choice(["", "\n"])

    def write_rules(self) -> None:
        """Rules in folders, in the git directory, and in the user's configuration."""
        rng = self.random
        folders = [self.repository, *(path for path in sorted(self.repository.rglob("*")) if path.is_dir())]
        folders = [path for path in folders if ".git" not in path.relative_to(self.repository).parts]
        for folder in [self.repository, *rng.sample(folders, min(2, len(folders)))]:
            if rng.random() < 0.8 and not (folder / ".gitignore").exists() and not folder.is_symlink():
                (folder / ".gitignore").write_text(self.rules())
        if rng.random() < 0.6:
            (self.repository / ".git" / "info").mkdir(exist_ok=True)
            (self.repository / ".git" / "info" / "exclude").write_text(self.rules())
        (self.home / "my rules").write_text(self.rules())
        choice = rng.randrange(5)
        if choice == 0:
            (self.home / ".gitconfig").write_text('[core]\n\texcludesFile = "~/my rules" ; mine\n')
        elif choice == 1:
            (self.home / ".gitconfig").write_text("[include]\n\tpath = more\n")
            (self.home / "more").write_text("[Core] excludesfile=~/my\\\n rules # mine\n")
        elif choice == 2:
            (self.home / ".config" / "git").mkdir(parents=True)
            (self.home / ".config" / "git" / "ignore").write_text(self.rules())
        elif choice == 3:
            run_git(self.repository, "config", "core.excludesFile", str(self.home / "my rules"))

    def track(self) -> None:
        """Add files, some of them against the rules, and choose a form of the index."""
        rng = self.random
        paths = [path for path in sorted(self.repository.rglob("*")) if path.is_file() or path.is_symlink()]
        paths = [path for path in paths if ".git" not in path.relative_to(self.repository).parts]
        names = [path.relative_to(self.repository).as_posix() for path in paths]
        rng.shuffle(names)
        count = rng.randrange(len(names) + 1)
        form = rng.randrange(5)
        if form == 1:
            run_git(self.repository, "update-index", "--index-version", "4")
        if form == 2 and count:
            run_git(self.repository, "add", "-N", "-f", "--", ":(literal)" + names[-1])  # version 3
        for begin in range(0, count, 20):
            run_git(
                self.repository,
                "add",
                "-f",
                "--",
                *(f":(literal){name}" for name in names[begin : min(begin + 20, count)]),
            )
            if form == 3:
                run_git(self.repository, "update-index", "--split-index")
                if begin == 0 and count > 3:
                    run_git(self.repository, "rm", "-q", "--cached", "-f", "--", f":(literal){names[1]}")
        if form == 4 and count:
            run_git(self.repository, "-c", "index.skipHash=true", "update-index", "--force-write-index", check=False)

    def commit_and_move(self, sha256: list[str]) -> Path:
        """Commit, then go on in a linked work tree or in a sparse one."""
        run_git(self.repository, "commit", "-q", "--allow-empty", "-m", "x")
        if self.random.random() < 0.5:
            run_git(self.repository, "worktree", "add", "-q", str(self.root / "linked"))
            self.write_files(self.root / "linked")
            return self.root / "linked"
        folder = self.random.choice(NAMES[:4])
        run_git(self.repository, "sparse-checkout", "init", "--cone", "--sparse-index", check=False)
        run_git(self.repository, "sparse-checkout", "set", folder, check=False)
        return self.repository

    def change(self, work_tree: Path) -> None:
        """Delete some files, and put other repositories into the folder."""
        rng = self.random
        for path in sorted(work_tree.rglob("*")):
            inside = path.relative_to(work_tree).parts
            if ".git" not in inside and rng.random() < 0.05 and path.is_file() and inside[-1] != ".gitignore":
                path.unlink()
        if rng.random() < 0.4:
            nested = work_tree / "nested" / rng.choice(["one", "two"])
            nested.mkdir(parents=True)
            run_git(nested, "init", "-q", ".")
            (nested / "inner.c").write_text("x\n")
        if rng.random() < 0.3 and not sorted(work_tree.glob("module")):
            size = 64 if b"sha256" in run_git(work_tree, "rev-parse", "--show-object-format") else 40
            run_git(work_tree, "update-index", "--add", "--cacheinfo", f"160000,{'1' * size},module", check=False)
            (work_tree / "module").mkdir()
            if rng.random() < 0.5:
                (work_tree / "module" / "inner.c").write_text("x\n")
