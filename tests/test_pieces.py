"""Work in pieces: in local processes, by an executor or on a Dask cluster, and none of it is lost."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from bayesglu.pieces import Kept, WorkerLostError, _Context, each_done, in_pieces


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
