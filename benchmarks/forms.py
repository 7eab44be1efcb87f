"""One morning in every form that a table of it may have, and the answers to what each does not say.

Each form is the text of a file and what `load_study` is given beside it.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

OGTT = {"protocol": "ogtt(75)", "body_weight": 70}
DIARY = {"body_weight": 70, "dates": "dmy"}


class Form(NamedTuple):
    """A file in one form. `words` : whether each of its cells must come to something, as not in rows that are
    of a dose or of a sample, nor in those of devices."""

    ending: str
    text: str
    answers: Mapping[str, Any]
    words: bool = False


FORMS = {
    "wide": Form(
        ".csv",
        "ID,Group,Weight (kg),G_-10 (mg/dL),G_0 (mg/dL),G_30 (mg/dL),I_0 (uU/mL),I_30 (uU/mL)\n"
        "1,control,71,91,92,148,8,52\n2,T2D,83,130,131,204,14,41.5\n",
        {"protocol": "ogtt(75)"},
        words=True,
    ),
    "half-wide": Form(
        ".csv",
        "Subject,Time (min),Group,Glucose (mmol/L),Insulin (pmol/L)\n"
        "A,0,lean,5.1,42\nA,30,lean,8.2,267\nB,0,obese,5.4,90\nB,30,obese,9.1,410.5\n",
        OGTT,
        words=True,
    ),
    "nonmem": Form(
        ".csv",
        "ID,TIME,EVID,AMT,RATE,DV,DVID,MDV,CENS,WT\n1,0,1,75,0,.,0,1,0,71\n1,0,0,.,.,92,1,0,0,71\n"
        "1,0.5,0,.,.,148,1,0,0,71\n1,0.5,0,.,.,52,2,0,0,71\n1,2,0,.,.,2,2,0,1,71\n2,0,1,50,0,.,0,1,0,83\n"
        "2,0,0,.,.,95,1,0,0,83\n2,2,0,.,.,120,1,0,0,83\n",
        {
            "units": {"time": "h", "glucose": "mg/dL", "insulin": "uU/mL"},
            "analytes": {1: "glucose", 2: "insulin"},
            "doses": "oral glucose g",
        },
    ),
    "clarity": Form(
        ".csv",
        "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Source Device ID,"
        "Glucose Value (mg/dL),Insulin Value (u),Carb Value (grams)\n1,,FirstName,,,,,\n"
        "2,2024-05-02T07:55:00,EGV,,G7,95,,\n3,2024-05-02T08:00:00,Carbs,,G7,,,60\n"
        "4,2024-05-02T08:00:00,Insulin,Fast-Acting,G7,,4.5,\n5,2024-05-02T08:30:00,EGV,,G7,180,,\n"
        "6,2024-05-02T09:00:00,EGV,,G7,High,,\n",
        DIARY,
    ),
    "libreview": Form(
        ".csv",
        "Glucose Data,Generated on,14-05-2024 10:00 UTC\nDevice,Serial Number,Device Timestamp,Record Type,"
        "Historic Glucose mmol/L,Scan Glucose mmol/L,Rapid-Acting Insulin (units),Carbohydrates (grams)\n"
        "L,X,13-05-2024 07:55,0,5.3,,,\nL,X,13-05-2024 08:00,5,,,,60\nL,X,13-05-2024 08:00,4,,,4.5,\n"
        "L,X,13-05-2024 08:30,0,10.0,,,\nL,X,13-05-2024 09:00,0,HI,,,\n",
        DIARY,
    ),
    "carelink": Form(
        ".csv",
        "Last Name,First Name\n\n-------,MiniMed,Pump,NGP,Sensor,-------\nIndex,Date,Time,Bolus Type,"
        "Bolus Volume Delivered (U),BWZ Carb Input (grams),Sensor Glucose (mg/dL)\n"
        "1,2024/05/02,07:55:00,,,,95\n2,2024/05/02,08:00:00,Normal,4.5,60,\n3,2024/05/02,08:30:00,,,,180\n",
        DIARY,
    ),
    "nightscout": Form(
        ".json",
        json.dumps(
            [
                {"sgv": 95, "date": 1714636500000, "type": "sgv", "device": "x"},
                {
                    "eventType": "Meal Bolus",
                    "carbs": 60,
                    "insulin": 4.5,
                    "created_at": "2024-05-02T08:00:00Z",
                },
                {"sgv": 180, "date": 1714638600000, "type": "sgv", "device": "x"},
            ],
            indent=0,
        ),
        DIARY,
    ),
}
"""The forms by their names as `load_study` has them, but the long one, which the tables of a folder are."""
