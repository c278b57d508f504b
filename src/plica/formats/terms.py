"""DICOM's defined terms that go on into outputs; other words of a source stay behind.

A code string is meant to hold one of a list of terms, and can hold anything: a name, too. What
plica writes or quotes of it is a term of the list, or nothing.
"""

from __future__ import annotations


def _terms(text: str) -> frozenset[str]:
    return frozenset(text.split())


MODALITIES = _terms(
    """
    ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC
    HD IO IOL IVOCT IVUS KER KO LEN LS M3D MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA
    PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT
    RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA XAPROTOCOL XC
    AS CD CF CP CS DD DF DM DS EC FA FS LP MA MS OPR SC ST VF
    """
)
"""Of Modality (0008,0060), PS3.3 C.7.3.1.1.1.

Retired ones, and SC of old captures, in the last row.
"""

RESCALE_TYPES = _terms("OD HU US MGML Z_EFF ED EDW HU_MOD PCT BQML GML GY HZ LABEL")
"""Of RescaleType (0028,1054), PS3.3 C.11.1.1.2, and what plica writes."""

PET_UNITS = _terms(
    """
    CNTS NONE CM2 CM2ML PCNT CPS BQML MGMINML UMOLMINML MLMING MLG 1CM UMOLML PROPCNTS PROPCPS
    MLMINML MLML GML STDDEV
    """
)
"""Of Units (0054,1001), PS3.3 C.8.9.1.1.3."""

SUV_TYPES = _terms("BSA LBM LBMJAMES128 LBMJANMA IBW BW")
"""Of SUVType (0054,1006), PS3.3 C.8.9.1.1.10."""

COMPLEX_COMPONENTS = _terms("MAGNITUDE PHASE REAL IMAGINARY MIXED")
"""Of ComplexImageComponent (0008,9208), PS3.3 C.8.13.3.1.1."""

BURNED_IN = "The file says that text is burnt into its pixels: it may name the patient."
"""The note of a reader on BurnedInAnnotation (0028,0301); a written series says so again."""


def known_modality(text: str) -> str:
    """The modality, "" where it is none of DICOM's.

    Examples:
        >>> known_modality("CT"), known_modality("SAMPLE")
        ('CT', '')
    """
    return text if text in MODALITIES else ""


def quote(text: str, terms: frozenset[str]) -> str:
    """A term between quotes; of other words only that they are none.

    Examples:
        >>> quote("US", RESCALE_TYPES), quote("SAMPLE PERSON", RESCALE_TYPES)
        ("'US'", "none of DICOM's")
    """
    return f"'{text}'" if text in terms else "none of DICOM's"
