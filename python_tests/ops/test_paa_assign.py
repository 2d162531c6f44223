from python_tests.support.cases.paa_assign import PaaAssignCases
from python_tests.support.op_contract import NoSyncContract


class TestPaaAssign(PaaAssignCases, NoSyncContract):
    pass
