"""Data sets of the published tables: where they are to be had, on what terms, how they lie."""

from __future__ import annotations

from dataclasses import dataclass

from plica.errors import UnknownName

BY_TABLE = "a table of images (path, patient, split, dataset)"


@dataclass(frozen=True)
class DataSet:
    """Where images of a published table come from.

    Args:
        name: What the label `dataset` of its cases says: "cmmd".
        title: As its publishers call it.
        homepage: Where it is to be had.
        terms: Licence, and whether one must register or apply, as its page says; the page decides.
        layout: How it is laid out, or how a table names its images.
    """

    name: str
    title: str
    homepage: str
    terms: str
    layout: str = BY_TABLE


def _known(*datasets: DataSet) -> dict[str, DataSet]:
    return {dataset.name: dataset for dataset in datasets}


DATASETS = _known(
    # -- mammograms ------------------------------------------------------------------------------
    DataSet(
        name="cmmd",
        title="CMMD (The Chinese Mammography Database)",
        homepage="https://doi.org/10.7937/tcia.eqde-4b16",
        terms="CC BY 4.0; free to download",
        layout=(
            "CMMD_clinicaldata_revision.csv (the .xlsx of that name, saved as CSV) beside "
            "CMMD/D1-0001/…/1-1.dcm, as the NBIA Data Retriever lays the series"
        ),
    ),
    DataSet(
        name="vindr-mammo",
        title="VinDr-Mammo 1.0.0",
        homepage="https://physionet.org/content/vindr-mammo/1.0.0/",
        terms="PhysioNet restricted access: an account and a signed data use agreement",
        layout="breast-level_annotations.csv beside images/STUDY_ID/IMAGE_ID.dicom",
    ),
    DataSet(
        name="rsna-mammography",
        title="RSNA Screening Mammography Breast Cancer Detection",
        homepage="https://www.kaggle.com/competitions/rsna-breast-cancer-detection",
        terms="the competition's rules; a Kaggle account",
    ),
    DataSet(
        name="csaw-cc",
        title="CSAW-CC",
        homepage="https://doi.org/10.5878/45vm-t798",
        terms="on application to its publishers",
    ),
    DataSet(
        name="embed",
        title="EMBED (Emory Breast Imaging Dataset)",
        homepage="https://registry.opendata.aws/emory-breast-imaging-dataset-embed/",
        terms="on application, for research that is not commercial",
    ),
    DataSet(
        name="inbreast",
        title="INbreast",
        homepage="https://doi.org/10.1016/j.acra.2011.09.014",
        terms="on request to its authors",
    ),
    # -- other radiographs -----------------------------------------------------------------------
    DataSet(
        name="mimic-cxr",
        title="MIMIC-CXR",
        homepage="https://physionet.org/content/mimic-cxr/",
        terms="PhysioNet credentialed access: training and a signed data use agreement",
    ),
    DataSet(
        name="candid-ptx",
        title="CANDID-PTX",
        homepage="https://doi.org/10.17608/k6.auckland.14173982",
        terms="on application to its publishers",
    ),
    DataSet(
        name="rsna-bone-age",
        title="RSNA Pediatric Bone Age Challenge 2017",
        homepage="https://www.rsna.org/rsnai/ai-image-challenge/rsna-pediatric-bone-age-challenge-2017",
        terms="the challenge's terms of use; free to download",
        layout=(
            "train.csv (or boneage-training-dataset.csv) beside boneage-training-dataset/ID.png, "
            "and 'Validation Dataset.csv' beside boneage-validation-dataset-1/ID.png and "
            "boneage-validation-dataset-2/ID.png, all anywhere below the folder"
        ),
    ),
    DataSet(
        name="grazpedwri-dx",
        title="GRAZPEDWRI-DX",
        homepage="https://doi.org/10.6084/m9.figshare.14825193",
        terms="CC BY 4.0; free to download",
        layout=(
            "dataset.csv beside images_part1/ to images_part4/ (or images/) with FILESTEM.png; "
            "boxes in folder_structure/supervisely/wrist/ann/FILESTEM.json"
        ),
    ),
    # -- volumes ---------------------------------------------------------------------------------
    DataSet(
        name="verse-2019",
        title="VerSe 2019",
        homepage="https://github.com/anjany/verse",
        terms="CC BY-SA 4.0; free to download",
        layout=(
            "verse2019_fracture_grading_info.csv (the supplement's .xlsx, "
            "https://doi.org/10.1148/ryai.2020190138, saved as CSV) beside "
            "dataset-verse19training/, dataset-verse19validation/ and dataset-verse19test/ with "
            "rawdata/sub-verse004/sub-verse004_ct.nii.gz"
        ),
    ),
    DataSet(
        name="cq500",
        title="CQ500",
        homepage="http://headctstudy.qure.ai/dataset",
        terms="CC BY-NC-SA 4.0; free to download",
        layout=(
            "reads.csv beside 'CQ500CT0 CQ500CT0/Unknown Study/SERIES/CT000000.dcm', for each "
            "scan one folder, anywhere below the folder"
        ),
    ),
    DataSet(
        name="mrnet",
        title="MRNet v1.0",
        homepage="https://stanfordmlgroup.github.io/competitions/mrnet/",
        terms="a research use agreement, signed on its page",
        layout=(
            "train-acl.csv, train-meniscus.csv, valid-acl.csv and valid-meniscus.csv beside "
            "train/sagittal/0000.npy and valid/sagittal/1130.npy"
        ),
    ),
    DataSet(
        name="adni",
        title="ADNI (Alzheimer's Disease Neuroimaging Initiative)",
        homepage="https://adni.loni.usc.edu",
        terms="on application and under a data use agreement",
    ),
    DataSet(
        name="habs",
        title="HABS (Harvard Aging Brain Study)",
        homepage="https://habs.mgh.harvard.edu",
        terms="on application and under a data use agreement",
    ),
    DataSet(
        name="a4",
        title="A4 (Anti-Amyloid Treatment in Asymptomatic Alzheimer's Disease)",
        homepage="https://www.a4studydata.org",
        terms="on application and under a data use agreement",
    ),
    DataSet(
        name="oasis",
        title="OASIS (Open Access Series of Imaging Studies)",
        homepage="https://www.oasis-brains.org",
        terms="a data use agreement, signed on its page",
    ),
    DataSet(
        name="amos",
        title="AMOS (Abdominal Multi-Organ Segmentation)",
        homepage="https://zenodo.org/records/7155725",
        terms="CC BY 4.0; free to download",
    ),
    DataSet(
        name="totalsegmentator",
        title="TotalSegmentator",
        homepage="https://doi.org/10.5281/zenodo.6802613",
        terms="CC BY 4.0; free to download",
    ),
    DataSet(
        name="lidc-idri",
        title="LIDC-IDRI",
        homepage="https://doi.org/10.7937/K9/TCIA.2015.LO9QL9SX",
        terms="CC BY 3.0; free to download",
    ),
)


def find_dataset(name: str) -> DataSet:
    """A data set by its name.

    Raises:
        UnknownName: plica knows none of that name.

    Examples:
        find_dataset("cmmd").homepage
    """
    if name not in DATASETS:
        raise UnknownName(f"no data set '{name}' is known; there are: {', '.join(DATASETS)}")
    return DATASETS[name]
