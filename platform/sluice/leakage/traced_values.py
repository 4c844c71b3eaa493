"""The values of an Ibis expression that the tracer knows. What is not named here is refused: the tracer fails closed.

Ibis 12 has some 380 kinds of values. Named are those whose result follows from their arguments alone (row by row), or
from them and the rows, their number and their order (over many rows). Not named, among others: user-defined functions,
row ids, random numbers, the clock of the machine, unnesting, functions with a function as argument, approximations.
"""

import ibis.expr.operations as ops


def _kinds(names: str) -> frozenset[type]:
    return frozenset(getattr(ops, name) for name in names.split())


# Arguments alone decide the result.
ROW_WISE = _kinds(
    "Abs Acos Add Alias And Array ArrayConcat ArrayContains ArrayIndex ArrayLength ArrayMax ArrayMean ArrayMin "
    "ArraySlice ArraySort ArrayStringJoin ArraySum Asin Atan Atan2 Between BetweenTime BitwiseAnd BitwiseLeftShift "
    "BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor Bucket Capitalize Cast Ceil Clip Coalesce Cos Cot Date DateAdd "
    "DateDelta DateDiff DateFromYMD DateSub DateTruncate DayOfWeekIndex DayOfWeekName Degrees Divide E EndsWith Equals "
    "Exp ExtractDay ExtractDayOfYear ExtractEpochSeconds ExtractHour ExtractIsoYear ExtractMicrosecond "
    "ExtractMillisecond ExtractMinute ExtractMonth ExtractQuarter ExtractSecond ExtractWeekOfYear ExtractYear Floor "
    "FloorDivide Greater GreaterEqual Greatest Hash IdenticalTo IfElse InValues IntervalAdd IntervalFloorDivide "
    "IntervalFromInteger IntervalMultiply IntervalSubtract IsInf IsNan IsNull LPad LStrip Least Less LessEqual "
    "Levenshtein Literal Ln Log Log10 Log2 Lowercase Modulus Multiply Negate Not NotEquals NotNull NullIf Or Pi Power "
    "RPad RStrip Radians RegexExtract RegexReplace RegexSearch Repeat Reverse Round SearchedCase Sign SimpleCase Sin "
    "Sqrt StartsWith StrRight Strftime StringAscii StringConcat StringContains StringFind StringJoin StringLength "
    "StringReplace StringSQLILike StringSQLLike StringSlice StringToDate StringToTime StringToTimestamp Strip "
    "StructColumn StructField Substring Subtract Tan Time TimeAdd TimeDelta TimeDiff TimeFromHMS TimeSub TimeTruncate "
    "TimestampAdd TimestampBucket TimestampDelta TimestampDiff TimestampFromUNIX TimestampFromYMDHMS TimestampSub "
    "TimestampTruncate Translate TryCast Uppercase Xor"
)

# The bag of rows decides, never their order. (The last bits of a sum of floating-point numbers are not counted.)
UNORDERED = _kinds(
    "All Any BitAnd BitOr BitXor Correlation Count CountDistinct CountDistinctStar CountStar Covariance Kurtosis Max "
    "Mean Median Min MultiQuantile Quantile StandardDev Sum Variance"
)

# Ranks, where equal keys get equal results.
RANKS = _kinds("CumeDist DenseRank MinRank PercentRank")

# The order of rows decides, also among rows whose keys are equal: these need an explicit order.
ORDERED = _kinds("ArrayCollect First GroupConcat Lag Last Lead NTile NthValue RowNumber")

SUBQUERIES = _kinds("InSubquery ScalarSubquery")
