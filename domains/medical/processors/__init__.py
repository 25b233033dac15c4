"""Raw file or array to model input: used by training, evaluation, embedding and deployment alike."""

from domains.medical.processors.ct import CTProcessor as CTProcessor
from domains.medical.processors.picture_codes import PictureCodesProcessor as PictureCodesProcessor
from domains.medical.processors.prompted_report import PromptedReportProcessor as PromptedReportProcessor
from domains.medical.processors.radiograph import RadiographProcessor as RadiographProcessor
from domains.medical.processors.report import ReportProcessor as ReportProcessor
from domains.medical.processors.report import SentenceReportProcessor as SentenceReportProcessor
from domains.medical.processors.scan import ScanProcessor as ScanProcessor
from domains.medical.processors.volume import VolumeProcessor as VolumeProcessor
from domains.medical.processors.wrong_report import WrongReportProcessor as WrongReportProcessor
