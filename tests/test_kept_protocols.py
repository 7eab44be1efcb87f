"""What was done to people comes back from the table that is kept with their fit."""

import xarray as xr

import bayesglu as bg
from bayesglu.protocols.table import keep_protocols, kept_protocols

PROTOCOLS = {
    ("1", "1"): bg.ogtt(75),
    ("1", "2"): bg.fast(50),
    ("anna", "1"): bg.ivgtt(0.3, insulin=0.03) + bg.injection("glucagon", 1, "mg", route="intramuscular"),
    ("B/7", "1"): bg.clamp(90, duration=120) + bg.infusion("insulin", 1, "mU/kg/min", 120),
    ("c", "1"): bg.meal(60, emptying=0.5, duration=15).shift(-30),
    ("d", "1"): bg.isoglycaemic([0, 30, 60], [90, 140, 110]) + bg.pump_stop(0.9),
}


def test_protocols_come_back_from_their_table():
    back = kept_protocols(keep_protocols(PROTOCOLS))
    assert back == {"/".join(test): protocol for test, protocol in PROTOCOLS.items()}
    assert [p.name for p in back.values()] == [p.name for p in PROTOCOLS.values()]
    assert back["1/2"].duration == 3000


def test_they_come_back_from_files(tmp_path):
    for some in (PROTOCOLS, {("1", "1"): bg.fast(10)}):
        tree = xr.DataTree.from_dict({"protocols": keep_protocols(some)})
        tree.to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
        tree.to_zarr(tmp_path / "fit.zarr", mode="w", consolidated=False)
        for found in (
            xr.load_datatree(tmp_path / "fit.nc", engine="h5netcdf"),
            xr.open_datatree(tmp_path / "fit.zarr", engine="zarr", consolidated=False),
        ):
            assert list(kept_protocols(found.protocols.to_dataset()).values()) == list(some.values())
