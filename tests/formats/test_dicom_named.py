"""Identity is found wherever it stands in a DICOM file, and nothing of it is told."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from tests.formats.dicom_scenes import make_slice, packaged, save

from plica.formats import dicom_named
from plica.formats.dicom_file import Header, open_header
from plica.formats.naming import KINDS

# Of each kind of value in DICOM PS3.15's table E.1-1, some attributes, and what they are called.
STATED = {
    "name": {"OtherPatientNames": "A^B", "PatientMotherBirthName": "A^B"},
    "ID": {"OtherPatientIDs": "7", "IssuerOfPatientID": "house"},
    "address": {"PatientAddress": "street", "PatientTelephoneNumbers": "1"},
    "facts about the patient": {"PatientWeight": 80, "Occupation": "clerk"},
    "numbers of visits and requests": {"AdmissionID": "3"},
    "dates": {"ContentTime": "101010", "AcquisitionDateTime": "19010203"},
    "physicians or staff": {"OperatorsName": "C^D", "ReferringPhysicianName": "C^D"},
    "institution": {"InstitutionAddress": "road"},
    "device": {"DeviceSerialNumber": "9", "StationName": "ct-9"},
    "free texts": {"ImageComments": "Mr A", "ProtocolName": "Mr A"},
}
ONE_BY_ONE = [(kind, *stated) for kind, words in STATED.items() for stated in words.items()]


def find(dataset: Dataset, folder: Path) -> set[str]:
    """What is found beside the UIDs that every file has."""
    found = dicom_named.list_kinds(open_header(save(dataset, folder / "a.dcm")))
    assert found <= set(KINDS)
    return found - {"UIDs"}


def make_bare(**attributes: object) -> Dataset:
    return make_slice(PatientName="", PatientID="", **attributes)


@pytest.mark.parametrize(("kind", "word", "value"), ONE_BY_ONE)
def test_attributes_of_the_basic_profile_are_found_by_kind(tmp_path, kind, word, value):
    assert find(make_bare(), tmp_path) == set()
    assert find(make_bare(**{word: value}), tmp_path) == {kind}


def test_a_name_within_a_sequence_is_found(tmp_path):
    within, between, outer = Dataset(), Dataset(), make_bare()
    within.PatientName, between.OtherPatientIDsSequence = "A^B", [within]
    outer.RequestAttributesSequence = [between]
    assert find(outer, tmp_path) == {"name", "ID"}


CODED = {
    "physicians or staff": """ActualHumanPerformersSequence ScheduledHumanPerformersSequence
        AuthorObserverSequence ParticipantSequence VerifyingObserverSequence ROICreatorSequence
        ConsultingPhysicianIdentificationSequence InterpretationApproverSequence
        ROIInterpreterSequence IntendedRecipientsOfResultsIdentificationSequence
        OperatorIdentificationSequence
        PerformingPhysicianIdentificationSequence PhysiciansOfRecordIdentificationSequence
        PhysiciansReadingStudyIdentificationSequence ReferringPhysicianIdentificationSequence
        ResultsDistributionListSequence ScheduledPerformingPhysicianIdentificationSequence
        ReferencedDigitalSignatureSequence ReferencedSOPInstanceMACSequence""",
    "ID": "OtherPatientIDsSequence IssuerOfPatientIDQualifiersSequence",
    "accession number": "IssuerOfAccessionNumberSequence",
    "numbers of visits and requests": """IssuerOfAdmissionIDSequence OrderPlacerIdentifierSequence
        IssuerOfServiceEpisodeIDSequence IssuerOfTheContainerIdentifierSequence
        IssuerOfTheSpecimenIdentifierSequence""",
    "facts about the patient": "PatientPrimaryLanguageModifierCodeSequence"
    " ReferencedPatientPhotoSequence",
    "institution": "OtherClinicalTrialProtocolIDsSequence",
    "free texts": "SpecimenPreparationSequence PrescriptionNotesSequence",
}  # fmt: skip


@pytest.mark.parametrize("kind", CODED)
def test_what_a_sequence_is_about_is_found_where_it_holds_codes_alone(tmp_path, kind):
    for word in CODED[kind].split():
        code = Dataset()
        code.CodeMeaning = "anything"
        assert find(make_bare(**{word: [code]}), tmp_path) == {kind}, word


def test_a_coded_performer_is_found_within_other_sequences(tmp_path):
    code, person, outer = Dataset(), Dataset(), Dataset()
    code.CodeMeaning, person.HumanPerformerCodeSequence = "Dr A", [code]
    outer.HumanPerformerCodeSequence = [code]
    found = find(make_bare(OriginalAttributesSequence=[outer]), tmp_path)
    assert found == {"physicians or staff"}
    assert find(make_bare(ActualHumanPerformersSequence=[person]), tmp_path) == found


def test_references_tell_nobody_but_by_what_they_hold(tmp_path):
    code = Dataset()
    code.CodeMeaning = "for anatomy"
    within = {"ReferencedImageSequence": [code], "ReferencedPatientSequence": [Dataset()]}
    assert find(make_bare(**within), tmp_path) == set()


def test_a_private_name_may_be_the_patients_and_other_private_elements_are_unknown(tmp_path):
    dataset = make_bare()
    block = dataset.private_block(0x11, "MAKER", create=True)
    assert find(dataset, tmp_path) == set()
    block.add_new(1, "LO", "anything")
    assert find(dataset, tmp_path) == {"private or unknown elements"}
    item = Dataset()
    item.private_block(0x13, "MAKER", create=True).add_new(1, "PN", "A^B")
    block.add_new(2, "SQ", [item])
    assert find(dataset, tmp_path) == {"name", "private or unknown elements"}


def test_overlays_are_found_and_what_is_only_of_the_standard_is_not(tmp_path):
    dataset = make_bare(ReferencedSOPClassUID="1.2.840.10008.1.1", Manufacturer="MAKER")
    assert find(dataset, tmp_path) == set()
    dataset.add_new(0x60003000, "OW", b"\1\1")
    assert find(dataset, tmp_path) == {"icons or overlays"}


def test_a_sequence_that_cannot_be_read_hides_nothing_beside_it(tmp_path):
    inner = Dataset()
    inner.CodeMeaning = "anything"
    dataset = make_bare(AcquisitionContextSequence=[inner], PersonName="A^B")  # in this order
    path = save(dataset, tmp_path / "a.dcm")
    whole = path.read_bytes()
    damaged = whole.replace(b"\x08\x00\x04\x01LO", b"\x08\x00\x04\x01SQ")
    assert damaged != whole
    path.write_bytes(damaged)
    found = dicom_named.list_kinds(open_header(path))
    assert {"private or unknown elements", "name"} <= found


def test_what_breaks_the_look_is_an_unknown_element():
    class Broken(Dataset):
        def keys(self):
            raise ValueError("Doe^Jane")

    found = dicom_named.list_kinds(Header(Broken(), "a.dcm", Path("a.dcm")))
    assert found == {"private or unknown elements"}


def test_a_real_file_has_what_its_header_says():
    found = dicom_named.list_kinds(open_header(packaged("CT_small.dcm")))
    assert {"name", "ID", "sex", "age", "dates", "UIDs", "private or unknown elements"} <= found
