"""Which kinds of identity the attributes of a DICOM file are of, nested and private ones too.

The attributes are those that the basic profile of DICOM PS3.15 (table E.1-1) removes or changes:
most are told by how they are written (a person's name, a date, a UID, a text), the others are
listed by keyword. Words are never read: a text is found, and not what it says.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from plica.errors import UnreadableFile
from plica.formats.dicom_file import DAMAGE, Header, guarded
from plica.formats.naming import FREE_TEXTS, PRIVATE

_OF_DICOM = b"1.2.840.10008."  # begins UIDs of the standard's own, which every file has
_BY_VR = {
    "PN": "physicians or staff", "UI": "UIDs", "DA": "dates", "DT": "dates", "TM": "dates",
    "AE": "device", "ST": FREE_TEXTS, "LT": FREE_TEXTS, "UT": FREE_TEXTS, "UC": FREE_TEXTS,
    "UR": FREE_TEXTS,
}  # fmt: skip
_BY_KEYWORD = {
    "name": """PatientName OtherPatientNames PatientBirthName PatientMotherBirthName PersonName
        ResponsiblePerson SelectorPNValue""",
    "ID": """PatientID OtherPatientIDs OtherPatientIDsSequence IssuerOfPatientID
        MedicalRecordLocator IssuerOfPatientIDQualifiersSequence InsurancePlanIdentification
        ClinicalTrialSubjectID ClinicalTrialSubjectReadingID""",
    "birth date": "PatientBirthDate PatientBirthTime PatientBirthDateInAlternativeCalendar",
    "address": """PatientAddress PatientTelephoneNumbers PatientTelecomInformation
        CountryOfResidence RegionOfResidence PatientInstitutionResidence CurrentPatientLocation
        ScheduledPatientInstitutionResidence PersonAddress PersonTelephoneNumbers AddressTrial
        PersonTelecomInformation TelephoneNumberTrial GPSLatitude GPSLongitude
        GPSDestLatitude GPSDestLongitude GPSAltitude GPSDestBearing GPSDestDistance GPSImgDirection
        GPSTrack GPSSpeed""",
    "sex": "PatientSex",
    "age": "PatientAge",
    "facts about the patient": """PatientSize PatientWeight EthnicGroup Occupation
        PatientSexNeutered PregnancyStatus SmokingStatus PatientReligiousPreference BranchOfService
        MilitaryRank MedicalAlerts Allergies PatientState SpecialNeeds AdditionalPatientHistory
        PatientTransportArrangements AdmittingDiagnosesDescription DischargeDiagnosisDescription
        PreMedication AdmittingDiagnosesCodeSequence PatientPrimaryLanguageCodeSequence
        PatientInsurancePlanCodeSequence ReasonForVisitCodeSequence ReasonForVisit
        ReasonForRequestedProcedureCodeSequence SelectorASValue PatientComments
        PatientPrimaryLanguageModifierCodeSequence ReferencedPatientPhotoSequence""",
    "accession number": "AccessionNumber SpecimenAccessionNumber IssuerOfAccessionNumberSequence",
    "study's ID": "StudyID StudyIDIssuer",
    "numbers of visits and requests": """AdmissionID IssuerOfAdmissionID ServiceEpisodeID
        IssuerOfServiceEpisodeID RequestedProcedureID ScheduledProcedureStepID ResultsID
        PerformedProcedureStepID InterpretationID InterpretationIDIssuer ResultsIDIssuer
        FillerOrderNumberImagingServiceRequest PlacerOrderNumberImagingServiceRequest
        ContainerIdentifier ContainerComponentID SpecimenIdentifier SlideIdentifier BarcodeValue
        SourceIdentifier FlowIdentifier FlowIdentifierSequence
        IssuerOfAdmissionIDSequence IssuerOfServiceEpisodeIDSequence OrderPlacerIdentifierSequence
        OrderFillerIdentifierSequence IssuerOfTheContainerIdentifierSequence
        IssuerOfTheSpecimenIdentifierSequence""",
    "dates": "TimezoneOffsetFromUTC FrameOriginTimestamp CertifiedTimestamp",
    "physicians or staff": """ReferringPhysicianAddress ReferringPhysicianTelephoneNumbers
        OrderCallbackPhoneNumber OrderCallbackTelecomInformation PersonIdentificationCodeSequence
        ContentCreatorIdentificationCodeSequence CameraOwnerName TopicAuthor CertificateOfSigner
        DigitalSignaturesSequence VerifyingObserverIdentificationCodeSequence
        VerbalSourceIdentifierCodeSequenceTrial DistributionAddress ActualHumanPerformersSequence
        ScheduledHumanPerformersSequence HumanPerformerCodeSequence AuthorObserverSequence
        AuthorIdentificationSequence AsserterIdentificationSequence ParticipantSequence
        VerifyingObserverSequence ConsultingPhysicianIdentificationSequence
        IntendedRecipientsOfResultsIdentificationSequence InterpretationApproverSequence
        OperatorIdentificationSequence PerformingPhysicianIdentificationSequence
        PhysiciansOfRecordIdentificationSequence PhysiciansReadingStudyIdentificationSequence
        ReferringPhysicianIdentificationSequence ResultsDistributionListSequence
        ScheduledPerformingPhysicianIdentificationSequence ROICreatorSequence
        ROIInterpreterSequence MAC ReferencedDigitalSignatureSequence
        ReferencedSOPInstanceMACSequence""",
    "institution": """InstitutionName InstitutionAddress InstitutionalDepartmentName
        InstitutionCodeSequence InstitutionalDepartmentTypeCodeSequence HumanPerformerOrganization
        ResponsibleOrganization VerifyingOrganization CustodialOrganizationSequence
        RequestingService OrderEntererLocation PerformedLocation RequestedProcedureLocation
        ScheduledProcedureStepLocation ScheduledStudyLocation ClinicalTrialCoordinatingCenterName
        ClinicalTrialProtocolEthicsCommitteeApprovalNumber ClinicalTrialProtocolEthicsCommitteeName
        ClinicalTrialProtocolID ClinicalTrialProtocolName ClinicalTrialSeriesID ClinicalTrialSiteID
        ClinicalTrialSiteName ClinicalTrialSponsorName ClinicalTrialTimePointID
        IssuerOfClinicalTrialProtocolID IssuerOfClinicalTrialSeriesID IssuerOfClinicalTrialSiteID
        IssuerOfClinicalTrialSubjectID IssuerOfClinicalTrialSubjectReadingID
        IssuerOfClinicalTrialTimePointID OtherClinicalTrialProtocolIDsSequence
        PerformedStationGeographicLocationCodeSequence
        ScheduledStationGeographicLocationCodeSequence""",
    "device": """StationName DeviceSerialNumber DeviceLabel DeviceDescription DetectorID GantryID
        GeneratorID PlateID CassetteID TreatmentMachineName PerformedStationName ModifyingSystem
        ScheduledStationName PerformedStationNameCodeSequence ScheduledStationNameCodeSequence
        SourceManufacturer SourceSerialNumber SourceOfPreviousValues ModifyingDeviceID MakerNote
        TransducerIdentificationSequence UDISequence UniqueDeviceIdentifier LensSerialNumber
        ManufacturerDeviceIdentifier DeviceAlternateIdentifier XRayDetectorID XRayDetectorLabel
        XRaySourceID LensMake LensModel LensSpecification DeviceSettingDescription NetworkID
        RTAccessoryDeviceSlotID RTAccessoryHolderSlotID""",
    "icons or overlays": "IconImageSequence OverlayData OverlayComments CurveData",
    FREE_TEXTS: """StudyDescription SeriesDescription ProtocolName ContrastBolusAgent
        AcquisitionDeviceProcessingDescription AcquisitionFieldOfViewLabel AnnotationGroupLabel
        ClinicalTrialSeriesDescription ConfidentialityConstraintOnPatientDataDescription
        ContainerDescription DisplacementReferenceLabel DoseReferenceDescription EntityLabel
        EntityLongLabel EntityName FractionGroupDescription ModifiedImageDescription
        PerformedProcedureStepDescription PositionAcquisitionTemplateName PyramidDescription
        PyramidLabel RadiationDoseIdentificationLabel RadiationDoseInVivoMeasurementLabel
        RadiationGenerationModeLabel ReasonForOmissionDescription ReasonForStudy
        ReasonForTheImagingServiceRequest ReasonForTheRequestedProcedure RequestedContrastAgent
        RequestedProcedureDescription RequestedSeriesDescription ROIGenerationDescription ROIName
        ROIObservationLabel RTPlanLabel RTPlanName RTPrescriptionLabel RTToleranceSetLabel
        RTTreatmentApproachLabel ScheduledProcedureStepDescription SelectorLOValue SelectorSHValue
        SelectorOBValue SelectorUNValue ServiceEpisodeDescription SpecimenShortDescription
        StructureSetLabel StructureSetName TextString TopicKeywords TopicTitle
        TreatmentPositionGroupLabel TreatmentSite TreatmentSites UserContentLabel
        UserContentLongLabel GraphicAnnotationSequence AcquisitionContextSequence ContentSequence
        NonconformingDataElementValue EncapsulatedDocument GPSAreaInformation
        GPSProcessingMethod DataSetTrailingPadding PrescriptionNotesSequence
        SpecimenPreparationSequence""",
}
# Of that table stand nowhere here: references, requests and records of what was modified, whose
# items are judged one by one; what GPS says beside the place; and terms (InstanceOriginStatus,
# ReasonForTheAttributeModification), which cannot hold a word.
_KINDS = {word: kind for kind, words in _BY_KEYWORD.items() for word in words.split()}


def list_kinds(header: Header) -> set[str]:
    """The kinds of identity that are filled somewhere in a file, as `naming` calls them.

    What cannot be read counts as an unknown element.

    Examples:
        >>> from plica.formats.dicom_file import open_header
        >>> "age" in list_kinds(open_header(Path("slice.dcm")))
        True
    """
    found: set[str] = set()
    meta = getattr(header.dataset, "file_meta", None) or Dataset()
    for dataset in (meta, header.dataset):
        try:
            with guarded(header.name, "looking for identity"):
                _look_through(dataset, found)
        except UnreadableFile:
            found.add(PRIVATE)
    return found


def _look_through(dataset: Any, found: set[str]) -> None:
    """Add the kinds of a dataset and of the items within it."""
    for tag in dataset.keys():  # noqa: SIM118 — iterating a dataset itself decodes each value
        element = dataset.get_item(tag)
        if not _is_filled(element.value):
            continue
        name, vr = _describe(int(tag))
        vr = element.VR if element.VR in ("PN", "SQ") else vr or _find_vr(dataset, tag)
        kind = _find_kind(name, vr, int(tag))
        if kind and not (kind == "UIDs" and _is_of_dicom(name, element.value)):
            found.add(kind)
        if vr == "SQ":
            _look_into(dataset, tag, found)


def _look_into(dataset: Any, tag: Any, found: set[str]) -> None:
    """Add the kinds of a sequence's items; one that cannot be read hides nothing beside it."""
    try:
        value = dataset[tag].value
    except DAMAGE:
        found.add(PRIVATE)
        return
    for item in value if isinstance(value, Sequence) else ():
        _look_through(item, found)


def _is_filled(value: Any) -> bool:
    """Whether something stands there, be it damaged."""
    if isinstance(value, bytes):
        return bool(value.strip(b"\0 "))
    return value is not None and value != "" and (not hasattr(value, "__len__") or len(value) > 0)


@lru_cache(maxsize=4096)
def _describe(tag: int) -> tuple[str, str]:
    """Keyword and kind of value of an attribute; "" of one that DICOM does not know."""
    try:
        return keyword_for_tag(tag), dictionary_VR(tag)
    except KeyError:
        return "", ""


def _find_vr(dataset: Any, tag: Any) -> str:
    """How an element outside DICOM's dictionary is written, as far as file and library know."""
    stated = dataset.get_item(tag).VR
    return str(dataset[tag].VR if stated in (None, "UN") else stated)


@lru_cache(maxsize=4096)
def _find_kind(name: str, vr: str, tag: int) -> str:
    """What an attribute is called; "" of one that tells nobody's identity."""
    if not name:
        if Tag(tag).is_private_creator or tag & 0xFFFF == 0:
            return ""
        # Whose name it is, only its maker knows: it may be the patient's.
        return "name" if vr == "PN" else PRIVATE
    return _KINDS.get(name) or _BY_VR.get(vr, "")


def _is_of_dicom(name: str, value: Any) -> bool:
    """Whether a UID is one of the standard's, or of a class or program, which many files share."""
    if name.endswith(("ClassUID", "TransferSyntaxUID")):
        return True
    said = value if isinstance(value, bytes) else str(value).encode()
    return all(one.startswith(_OF_DICOM) for one in said.split(b"\\"))
