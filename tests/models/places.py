"""Two repositories of images, in a table and in folders, to gather a set from."""

from pathlib import Path

from models.gather import main
from tests.models.images import write_image
from tests.models.repositories import clone_bare, commit_folder

LIMITS = "min_side = 8\nmax_bytes = 5000\nside = 16\n"
ANIMALS = {"cat": ["images/cats"], "dog": ["images/*/night/*", "images/rex.png"]}
SCENES = {"cat": ["1"], "sea": ["0"]}
TABLE = {"table": "labels/train.csv", "folder": "photos/all of them"}


class Places:
    """Clones of two repositories, a file of sources about them, and the command that reads both."""

    def __init__(self, folder: Path) -> None:
        self.clones, self.sources, self.out = (
            folder / "my clones",
            folder / "s.toml",
            folder / "out",
        )
        self.animals = self.clones / "anna" / "animals"
        images = self.animals / "images"
        write_image(images / "cats" / "small.png", 1, (16, 12))
        write_image(images / "cats" / "deep" / "Wide.JPG", 2, (40, 30))
        write_image(images / "cats" / "flat.png", 3, (40, 10))
        write_image(images / "cats" / "tiny.png", 4, (7, 30))
        write_image(images / "cats" / "huge.png", 5, (60, 60))
        (images / "cats" / "broken.png").write_bytes(b"no image")
        (images / "cats" / "readme.txt").write_bytes(b"of no class")
        write_image(images / "dogs" / "day" / "left alone.png", 6)
        write_image(images / "dogs" / "night" / "1.png", 7)
        write_image(images / "wolves" / "night" / "deep" / "2.png", 8)
        write_image(images / "rex.png", 9)
        commits = [commit_folder(self.animals)]
        self.scenes = folder / "scenes"
        for i in range(3):
            write_image(self.scenes / "photos" / "all of them" / f"{i}.png", 10 + i)
        write_image(self.scenes / "photos" / "all of them" / "same as small.png", 1, (16, 12))
        (self.scenes / "labels").mkdir()
        rows = ("image_name,label", "0.png,0", "1.png, 0", "same as small.png,1", "lost.png,0", "")
        (self.scenes / "labels" / "train.csv").write_text("\n".join(rows))
        commits.append(commit_folder(self.scenes))
        clone_bare(self.scenes, self.clones / "ben" / "scenes")
        self.commits = tuple(commits)
        self.write()

    def write(
        self,
        animals: dict[str, list[str]] = ANIMALS,
        scenes: dict[str, list[str]] = SCENES,
        table: dict[str, str] = TABLE,
        commits: tuple[str, ...] = (),
    ) -> None:
        """The file of sources."""
        lines = [LIMITS]
        names, commits = ("anna/animals", "ben/scenes"), commits or self.commits
        for name, commit, classes in zip(names, commits, (animals, scenes), strict=True):
            row = {"name": name, "commit": commit} | (table if classes is scenes else {})
            lines += ["[[repository]]", *(f"{key} = '{value}'" for key, value in row.items())]
            lines += ["[repository.classes]", *(f"{c} = {row}" for c, row in classes.items())]
        self.sources.write_text("\n".join(lines))

    def gather(self, *options: str) -> int:
        """The command's exit code."""
        paths = [str(self.sources), "--clones", str(self.clones), "--out", str(self.out)]
        return main([*paths, *options])
