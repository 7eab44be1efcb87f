"""Work in pieces: in local processes, by an executor or on a Dask cluster, and none of it is lost."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from bayesglu.atomic import UNFINISHED
from bayesglu.errors import BayesgluError
from bayesglu.pieces import Kept, WorkerLostError, _Context, each_done, in_pieces
from bayesglu.sealed import sealed


def square(x: int, folder: str) -> int:
    """The square; the first time that 3 is asked for, the process is killed that works on it."""
    mark = Path(folder) / "killed"
    if x == 3 and not mark.exists():
        mark.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def killed(x: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def where() -> tuple[int, bool]:
    import __main__

    return os.getpid(), hasattr(__main__, "__file__")


PIECES = {i: (i,) for i in range(8)}
SQUARES = {i: i * i for i in range(8)}


def with_folder(folder: Path) -> dict[int, tuple]:
    return {i: (i, str(folder)) for i in range(8)}


def test_a_local_process_that_is_killed_is_replaced_and_nothing_is_lost(tmp_path):
    assert dict(each_done(square, with_folder(tmp_path), executor=2)) == SQUARES
    assert int((tmp_path / "killed").read_text()) != os.getpid()


def test_processes_that_are_killed_again_and_again_are_told():
    with pytest.raises(WorkerLostError, match=r"of 2 local ones, 3 times.*the same call resumes"):
        list(each_done(killed, PIECES, executor=2))


def test_a_local_process_does_not_run_the_script_again_from_which_it_was_started():
    found = dict(each_done(where, {0: (), 1: ()}, executor=2))
    assert {pid for pid, _ in found.values()} != {os.getpid()}
    assert not any(script for _, script in found.values())


def test_an_executor_whose_process_is_killed_is_told_and_the_rest_is_kept(tmp_path):
    kept = Kept(tmp_path / "kept", "squares", "square")
    (tmp_path / "killed").touch()
    in_pieces(square, {i: (i, str(tmp_path)) for i in (0, 1)}, kept, {"seed": 1}, 1)
    (tmp_path / "killed").unlink()
    told = pytest.raises(WorkerLostError, match="of ProcessPoolExecutor, was ended from outside")
    with ProcessPoolExecutor(1, _Context()) as pool, told:
        in_pieces(square, with_folder(tmp_path), kept, {"seed": 1}, pool)
    assert {0, 1} <= set(kept.found(range(8)))
    assert in_pieces(square, with_folder(tmp_path), kept, {"seed": 1}, 1) == SQUARES


def test_a_damaged_piece_is_told_or_says_the_same(tmp_path):
    kept = Kept(tmp_path, "squares", "square")
    with kept.work({"seed": 1}):
        kept.add(0, {"square": 25})
    for path in (kept.about, tmp_path / "square_0000.json"):
        good, refused, seal = path.read_bytes(), 0, len(sealed(b""))
        flipped = [good[:n] + bytes([good[n] ^ 4]) + good[n + 1 :] for n in range(0, len(good), 3)]
        for content in [*flipped, *(good[:n] for n in range(0, len(good) - seal, 3)), b"[" * 100_000]:
            path.write_bytes(content)
            try:
                assert (kept.seed(), kept.found([0])) == (1, {0: {"square": 25}})
            except BayesgluError as error:
                assert str(error).startswith(f"{path}: this file is damaged")
                refused += 1
        assert refused > len(good) - len(
            sealed(b"")
        )  # what is flipped in the seal's words alone is no matter
        path.write_bytes(good)


def test_a_folder_in_which_the_work_was_stopped_before_it_began_is_taken(tmp_path):
    (tmp_path / f"{UNFINISHED}0a1b2c3d.json").write_text("{")
    (tmp_path / ".DS_Store").touch()
    with Kept(tmp_path, "squares", "square").work({"seed": 1}):
        assert (tmp_path / "squares.json").exists()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_dask_worker_that_is_killed_in_the_middle_loses_nothing(tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask is the extra `dask`")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert len(client.scheduler_info()["workers"]) == 2
        kept = Kept(tmp_path / "kept", "squares", "square")
        found = in_pieces(square, with_folder(tmp_path), kept, {"seed": 1}, client)
    assert found == SQUARES
    assert (tmp_path / "killed").exists()
    assert kept.found(range(8)) == SQUARES
